"""Everything that is known about a run before it starts, in one structure."""

import logging
from typing import Any

from stages.lm.accounting import calibration, transformer, vectors
from stages.lm.accounting.batches import Lengths, random_batch
from stages.lm.accounting.breakdown import breakdown
from stages.lm.accounting.course_memory import course_memory
from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.memory import training_memory
from stages.lm.accounting.parameters import parameters
from stages.lm.accounting.settings import EstimateSettings
from stages.lm.accounting.speed import predict, predict_writing, price
from stages.lm.accounting.spread_memory import memory_of_each
from stages.lm.models.seq2seq.settings import TranslatorSettings
from stages.lm.models.settings import NgramSettings
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.tokens import PairArray, TokenArray
from stages.lm.training.batches import Batch
from stages.lm.training.settings import TrainSettings

log = logging.getLogger("stagecraft")


def estimate(settings: EstimateSettings, vocab_size: int, train: TokenArray | PairArray) -> dict[str, Any]:
    """Parameters, FLOPs, memory by component on each device, time, energy and money.

    The tokens of a model that translates are those of the target, which it predicts. Steps of the run itself say more of its time
    than what is known of the machine, where there are both.
    """
    model, training = settings.model, settings.training
    pairs = train if isinstance(train, PairArray) else None
    read = 0 if isinstance(train, PairArray) else len(train.ids)
    lengths = Lengths.of(pairs) if pairs else None
    longest = Lengths.longest(pairs, training.batch_size) if pairs else None
    batch = None if isinstance(model, NgramSettings) else random_batch(model, training, vocab_size, lengths)
    tokens = round(training.steps * tokens_per_step(settings, lengths)) if batch else read
    forward = forward_flops_per_token(model, vocab_size, lengths=lengths)
    measured = calibrate(settings, vocab_size, train, training_memory(model, training, vocab_size, read, longest)["total"], batch)
    predicted = predict(settings, vocab_size, batch, training_flops(forward, batch.tokens)) if batch else {}
    speed = measured.get("tokens_per_second") or predicted.get("tokens_per_second")
    seconds = tokens / speed if speed else None
    peak = measured.get("matmul_flops_per_second")
    return {
        "family": model.family,
        "tokens": tokens,
        "parameters": parameters(model, vocab_size, read),
        "flops": breakdown(settings, vocab_size, forward, tokens, lengths),
        "spread": settings.spread.resolved(),
        "memory_bytes": memory_of_each(settings, vocab_size, read, longest),
        "course_memory_bytes": by_the_course(settings, vocab_size),
        "decoding": decoding(settings) | {"tokens_per_second": predict_writing(settings, vocab_size)},
        "time": {"tokens_per_second": speed, "seconds": seconds} | (price(seconds, settings.machine) if seconds else {}),
        "predicted": predicted,
        "calibration": measured | ({"matmul_utilisation": training_flops(forward, 1) * speed / peak} if speed and peak else {}),
    }


def tokens_per_step(settings: TrainSettings, lengths: Lengths | None = None) -> float:
    """Tokens that one optimizer step sees on average, of pairs of sentences with these lengths; 0 for families without steps."""
    model, size = settings.model, settings.training.batch_size
    if isinstance(model, NgramSettings):
        return 0
    if isinstance(model, VectorSettings):
        return size * vectors.counted(model)
    if isinstance(model, TranslatorSettings):
        return size * (lengths or Lengths(model.context_length, model.context_length)).target
    return size * model.context_length


def by_the_course(settings: TrainSettings, vocab_size: int) -> dict[str, int]:
    """The memory of training as courses count it by hand; nothing where they have no formula."""
    model = settings.model
    return course_memory(model, vocab_size, settings.training.micro_batch) if model.family == "transformer" else {}


def decoding(settings: TrainSettings) -> dict[str, Any]:
    """Bytes that one text as long as the context takes beside the weights; nothing where families keep next to nothing."""
    model = settings.model
    return {"cache_bytes": transformer.cache_bytes(model, 1, model.context_length)} if model.family == "transformer" else {}


def calibrate(
    settings: EstimateSettings, vocab_size: int, train: TokenArray | PairArray, memory: int, batch: Batch | None
) -> dict[str, Any]:
    """What a few steps take here; nothing for another machine, or where the run would not fit into this one's memory."""
    if settings.machine.device != "here":
        return {}
    if memory > calibration.physical_memory():
        log.warning(
            "no calibration: the run needs %.1f GB, and this machine has %.1f", memory / 1e9, calibration.physical_memory() / 1e9
        )
        return {}
    if isinstance(settings.model, NgramSettings):
        assert isinstance(train, TokenArray)
        return calibration.calibrate_counting(settings.model, vocab_size, train)
    assert batch is not None
    return calibration.calibrate_batch(settings.model, settings.training, vocab_size, batch)
