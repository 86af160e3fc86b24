"""Everything that is known about a run before it starts, in one structure."""

import logging
from typing import Any, cast

from torch import nn

from stages.lm.accounting import calibration, transformer, translation, vectors
from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.memory import training_memory
from stages.lm.accounting.parameters import parameters
from stages.lm.accounting.settings import EstimateSettings
from stages.lm.accounting.speed import predict, predict_writing, price
from stages.lm.models import registry
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.seq2seq.settings import TranslatorSettings
from stages.lm.models.settings import ModelSettings, NgramSettings, TransformerSettings
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.tokens import PairArray, TokenArray
from stages.lm.training.batches import Batch
from stages.lm.training.settings import TrainSettings

log = logging.getLogger("stagecraft")


def estimate(settings: EstimateSettings, vocab_size: int, train: TokenArray | PairArray) -> dict[str, Any]:
    """Parameters, FLOPs, memory by component, and the time that a short calibration promises."""
    if isinstance(train, PairArray):
        return _translator(settings, vocab_size, train)
    model, training, counting = settings.model, settings.training, isinstance(settings.model, NgramSettings)
    counted = parameters(settings.model, vocab_size, len(train.ids))
    tokens = len(train.ids) if counting else settings.training.steps * tokens_per_step(settings)
    forward = forward_flops_per_token(settings.model, vocab_size)
    memory = training_memory(settings.model, settings.training, counted["total"], vocab_size, len(train.ids))
    batch = None if counting else calibration.random_batch(model, training, vocab_size)
    measured = calibrate(settings, vocab_size, train, memory["total"], batch)
    return _summary(settings, vocab_size, tokens, counted, forward, memory, batch, measured)


def _translator(settings: EstimateSettings, vocab_size: int, train: PairArray) -> dict[str, Any]:
    """The same for a model that translates; its tokens are those of the target, which it predicts."""
    model, training = cast(TranslatorSettings, settings.model), settings.training
    lengths = translation.Lengths.of(train)
    built = cast(nn.Module, registry.build(model, vocab_size, training.seed))
    memory = translation.training_memory(built, lengths, training, vocab_size)
    forward = translation.forward_flops_per_token(model, vocab_size, lengths)
    batch = lengths.batch(training.batch_size, vocab_size)
    largest = translation.largest_matrix(model)
    here = settings.machine.device == "here"
    measured = calibration.calibrate_batch(model, training, vocab_size, batch, largest) if here else {}
    tokens = round(training.steps * training.batch_size * lengths.target)
    counted = parameters(model, vocab_size, 0)
    return _summary(settings, vocab_size, tokens, counted, _with_total(forward), _with_total(memory), batch, measured)


def _with_total(parts: dict[str, int]) -> dict[str, int]:
    return parts | {"total": sum(parts.values())}


def _summary(
    settings: EstimateSettings,
    vocab_size: int,
    tokens: int,
    counted: dict[str, int],
    forward: dict[str, int],
    memory: dict[str, int],
    batch: Batch | None,
    measured: dict[str, Any],
) -> dict[str, Any]:
    """Steps of the run itself say more of its time than the profile of the machine, where both are known."""
    predicted = predict(settings, vocab_size, batch, training_flops(forward, batch.tokens)) if batch else {}
    speed = measured.get("tokens_per_second") or predicted.get("tokens_per_second")
    seconds = tokens / speed if speed else None
    peak = measured.get("matmul_flops_per_second")
    return {
        "family": settings.model.family,
        "tokens": tokens,
        "parameters": counted,
        "flops": {"forward_per_token": forward, "training_total": training_flops(forward, tokens)},
        "memory_bytes": memory,
        "decoding": decoding(settings) | {"tokens_per_second": predict_writing(settings, vocab_size)},
        "time": {"tokens_per_second": speed, "seconds": seconds} | (price(seconds, settings.machine) if seconds else {}),
        "predicted": predicted,
        "calibration": measured | ({"matmul_utilisation": training_flops(forward, 1) * speed / peak} if speed and peak else {}),
    }


def decoding(settings: TrainSettings) -> dict[str, Any]:
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


def calibrate(settings: EstimateSettings, vocab_size: int, train: TokenArray, memory: int, batch: Batch | None) -> dict[str, Any]:
    """What a few steps take here; nothing for another machine, or where the run would not fit into this one's memory."""
    if settings.machine.device != "here":
        return {}
    if isinstance(settings.model, NgramSettings):
        return calibration.calibrate_counting(settings.model, vocab_size, train)
    if memory > calibration.physical_memory():
        log.warning(
            "no calibration: the run needs %.1f GB, and this machine has %.1f", memory / 1e9, calibration.physical_memory() / 1e9
        )
        return {}
    assert batch is not None
    return calibration.calibrate_batch(settings.model, settings.training, vocab_size, batch, largest_matrix(settings.model))


def largest_matrix(model: ModelSettings) -> tuple[int, int]:
    """The shape of the largest matrix inside a model of single texts."""
    if isinstance(model, RecurrentSettings):
        return model.d_model, model.gates * model.d_model
    if isinstance(model, VectorSettings):
        return model.d_model, 1 + model.negatives
    assert isinstance(model, TransformerSettings | BertSettings)
    return model.d_model, model.feed_forward_width
