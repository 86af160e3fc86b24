"""The memory that training takes at its peak, by component, from the settings alone.

A step is rehearsed and every storage watched: what is in use when the most is, is the peak, as an allocator that neither rounds
nor keeps what is freed would record it. Not in it: the libraries, and what kernels take and give back inside one operation.

A run on a GPU is rehearsed by the operations of the CPU, with what `gpu` says is otherwise there: the same tensors, but for
recurrent layers. A run with `compile` is rehearsed without: its peak is that of eager execution, of which that spares some.
"""

import logging

import torch

from stages.lm.accounting import huggingface
from stages.lm.accounting.batches import Lengths, random_batch
from stages.lm.accounting.gpu import as_on_gpu
from stages.lm.accounting.parameters import parameters
from stages.lm.accounting.rehearsal import rehearse
from stages.lm.accounting.storages import Storages
from stages.lm.models.huggingface.settings import HuggingFaceSettings
from stages.lm.models.settings import ModelSettings, NgramSettings
from stages.lm.training.batches import Batch
from stages.lm.training.distributed import ALONE, Ranks
from stages.lm.training.engines import Engine
from stages.lm.training.settings import TrainingSettings

log = logging.getLogger("stagecraft")

ORDER = ("weights", "unsharded", "gradients", "optimizer", "batch", "embedding", "attention", "feed_forward", "recurrence",
         "norms", "dropout", "other_activations", "head", "logits", "workspace")  # fmt: skip
"""Components as they are shown. All between the batch and the logits are activations: what the backward pass needs of a part."""

ACTIVATIONS = ORDER[ORDER.index("batch") + 1 : ORDER.index("logits")]


def training_memory(
    settings: ModelSettings, training: TrainingSettings, vocab_size: int, tokens: int = 0, lengths: Lengths | None = None
) -> dict[str, int]:
    """Bytes by component at the peak, and their `total`.

    tokens: of the training split, which models keep that count. lengths: of a translator's longest batch.
    """
    if isinstance(settings, NgramSettings):
        return in_order(_counting(parameters(settings, vocab_size, tokens)["total"], tokens))
    try:
        return in_order(rehearsed(settings, training, vocab_size, lengths).peak())
    except huggingface.UNREHEARSED as error:
        if not isinstance(settings, HuggingFaceSettings):
            raise
        log.warning("%s: its memory cannot be found (%s): what is there in any case is taken", settings.file, error)
        return in_order(huggingface.least_memory(settings, vocab_size))


def kept_activations(
    settings: ModelSettings, training: TrainingSettings, vocab_size: int, lengths: Lengths | None = None
) -> dict[str, int]:
    """Bytes by component that the forward pass of a micro-batch leaves behind for its backward pass, and their `total`."""
    log = rehearsed(settings, training, vocab_size, lengths)
    found = log.at(log.after_forward[0])
    return in_order({name: found[name] for name in ACTIVATIONS if name in found})


def rehearsed(
    settings: ModelSettings,
    training: TrainingSettings,
    vocab_size: int,
    lengths: Lengths | None = None,
    ranks: Ranks = ALONE,
    engine: Engine = "ddp",
) -> Storages:
    """What becomes of all storages in one step of a training under way, in one of several processes if there are `ranks`."""
    on_gpu = training.device == "cuda" or (training.device == "auto" and torch.cuda.is_available())

    def batch() -> Batch:
        """The whole batch in memory; of its micro-batches the first two, as the others do what the second does."""
        whole = random_batch(settings, training, vocab_size, lengths)
        rows = None if whole.fresh else 2 * training.micro_batch
        return whole._replace(tensors=tuple(tensor[:rows] for tensor in whole.tensors))

    log = Storages(vocab_size, on_gpu)
    with as_on_gpu(on_gpu):
        rehearse(settings, training, vocab_size, batch, log, 1, ranks, engine)
    return log


def _counting(parameters: int, tokens: int) -> dict[str, int]:
    """Counting needs, while it sorts the n-grams of one length: the stream, their keys, and the order of these, 8 bytes each."""
    return {"counts": 2 * 8 * parameters, "stream": 2 * 8 * tokens, "sorting": 3 * 8 * tokens}


def in_order(parts: dict[str, int]) -> dict[str, int]:
    """The components as they are shown, and their `total`."""
    ordered = sorted(parts, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    return {name: parts[name] for name in ordered} | {"total": sum(parts.values())}
