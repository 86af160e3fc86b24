"""Everything that is known about a run before it starts, in one structure."""

import logging
from typing import Any, cast

from stages.lm.accounting import calibration, transformer, translation, vectors
from stages.lm.accounting.batches import Lengths, random_batch
from stages.lm.accounting.breakdown import breakdown
from stages.lm.accounting.course_memory import course_memory
from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.memory import training_memory
from stages.lm.accounting.parameters import parameters
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.seq2seq.settings import TranslatorSettings
from stages.lm.models.settings import NgramSettings, TransformerSettings
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.tokens import PairArray, TokenArray
from stages.lm.training.settings import TrainSettings

log = logging.getLogger("stagecraft")


def estimate(settings: TrainSettings, vocab_size: int, train: TokenArray | PairArray) -> dict[str, Any]:
    """Parameters, FLOPs, memory by component, and the time that a short calibration promises."""
    if isinstance(train, PairArray):
        return _translator(settings, vocab_size, train)
    counting = isinstance(settings.model, NgramSettings)
    counted = parameters(settings.model, vocab_size, len(train.ids))
    tokens = len(train.ids) if counting else settings.training.steps * tokens_per_step(settings)
    forward = forward_flops_per_token(settings.model, vocab_size)
    memory = training_memory(settings.model, settings.training, vocab_size, len(train.ids))
    operations = breakdown(settings, vocab_size, forward, tokens)
    measured = calibrate(settings, vocab_size, train, memory["total"])
    return _summary(settings, vocab_size, tokens, counted, operations, memory, measured)


def _translator(settings: TrainSettings, vocab_size: int, train: PairArray) -> dict[str, Any]:
    """The same for a model that translates; its tokens are those of the target, which it predicts."""
    model, training = cast(TranslatorSettings, settings.model), settings.training
    lengths = Lengths.of(train)
    memory = training_memory(model, training, vocab_size, lengths=Lengths.longest(train, training.batch_size))
    forward = translation.forward_flops_per_token(model, vocab_size, *lengths)
    forward["total"] = sum(forward.values())
    batch = random_batch(model, training, vocab_size, lengths)
    measured = calibration.calibrate_batch(model, training, vocab_size, batch, translation.largest_matrix(model))
    tokens = round(training.steps * training.batch_size * lengths.target)
    operations = breakdown(settings, vocab_size, forward, tokens, lengths)
    return _summary(settings, vocab_size, tokens, parameters(model, vocab_size, 0), operations, memory, measured)


def _summary(
    settings: TrainSettings,
    vocab_size: int,
    tokens: int,
    counted: dict[str, int],
    operations: dict[str, Any],
    memory: dict[str, int],
    measured: dict[str, Any],
) -> dict[str, Any]:
    speed = measured.get("tokens_per_second")
    peak = measured.get("matmul_flops_per_second")
    return {
        "family": settings.model.family,
        "tokens": tokens,
        "parameters": counted,
        "flops": operations,
        "memory_bytes": memory,
        "course_memory_bytes": by_the_course(settings, vocab_size),
        "decoding": decoding(settings),
        "time": {"tokens_per_second": speed, "seconds": tokens / speed if speed else None},
        "calibration": measured
        | ({"matmul_utilisation": training_flops(operations["forward_per_token"], 1) * speed / peak} if speed and peak else {}),
    }


def by_the_course(settings: TrainSettings, vocab_size: int) -> dict[str, int]:
    """The memory of training as courses count it by hand; nothing where they have no formula."""
    model = settings.model
    return course_memory(model, vocab_size, settings.training.micro_batch) if model.family == "transformer" else {}


def decoding(settings: TrainSettings) -> dict[str, int]:
    """Bytes that one text as long as the context takes beside the weights; nothing where families keep next to nothing."""
    model = settings.model
    return {"cache_bytes": transformer.cache_bytes(model, 1, model.context_length)} if model.family == "transformer" else {}


def tokens_per_step(settings: TrainSettings) -> int:
    """Tokens that one optimizer step sees; 0 for families without steps."""
    if isinstance(settings.model, NgramSettings):
        return 0
    if isinstance(settings.model, VectorSettings):
        return settings.training.batch_size * vectors.counted(settings.model)
    assert not isinstance(settings.model, TranslatorSettings)
    return settings.training.batch_size * settings.model.context_length


def calibrate(settings: TrainSettings, vocab_size: int, train: TokenArray, memory: int) -> dict[str, Any]:
    """What a few steps take here; nothing where the run would not fit into this machine's memory."""
    if isinstance(settings.model, NgramSettings):
        return calibration.calibrate_counting(settings.model, vocab_size, train)
    if memory > calibration.physical_memory():
        log.warning(
            "no calibration: the run needs %.1f GB, and this machine has %.1f", memory / 1e9, calibration.physical_memory() / 1e9
        )
        return {}
    model, training = settings.model, settings.training
    if isinstance(model, BertSettings):
        batch, largest = random_batch(model, training, vocab_size), (model.d_model, model.feed_forward_width)
        return calibration.calibrate_batch(model, training, vocab_size, batch, largest)
    if isinstance(model, VectorSettings):
        batch, largest = random_batch(model, training, vocab_size), (model.d_model, 1 + model.negatives)
        return calibration.calibrate_batch(model, training, vocab_size, batch, largest)
    return calibration.calibrate_steps(
        cast(TransformerSettings | RecurrentSettings, settings.model), settings.training, vocab_size
    )
