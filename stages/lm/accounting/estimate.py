"""Everything that is known about a run before it starts, in one structure."""

import logging
from contextlib import suppress
from typing import Any

from stages.lm.accounting import calibration, transformer, vectors
from stages.lm.accounting.batches import Lengths, random_batch
from stages.lm.accounting.breakdown import breakdown
from stages.lm.accounting.course_memory import course_memory
from stages.lm.accounting.fits import check, fitting
from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.free_memory import spare_memory
from stages.lm.accounting.parameters import parameters
from stages.lm.accounting.settings import EstimateSettings
from stages.lm.accounting.sizes import shown
from stages.lm.accounting.speed import predict, predict_writing, price
from stages.lm.accounting.spread_memory import memory_of_each
from stages.lm.errors import UserError
from stages.lm.models.seq2seq.settings import TranslatorSettings
from stages.lm.models.settings import NgramSettings
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.tokens import PairArray, TokenArray
from stages.lm.training.batches import Batch
from stages.lm.training.settings import TrainSettings

log = logging.getLogger("stagecraft")


def estimate(
    settings: EstimateSettings, vocab_size: int, train: TokenArray | PairArray, limit: int | None = None
) -> dict[str, Any]:
    """Parameters, FLOPs, memory by component on each device, time, energy and money.

    The tokens of a model that translates are those of the target, which it predicts. Steps of the run itself say more of its time
    than what is known of the machine, where there are both. Raises UserError, before any step, where training needs more than
    `limit` bytes on a device.
    """
    model, training, each = settings.model, settings.training, settings.alone
    pairs = train if isinstance(train, PairArray) else None
    read = 0 if isinstance(train, PairArray) else len(train.ids)
    lengths = Lengths.of(pairs) if pairs else None
    longest = Lengths.longest(pairs, training.batch_size) if pairs else None
    memory = memory_of_each(settings, vocab_size, read, longest)
    if limit is not None:
        check("training", settings, vocab_size, memory["total"], limit)
    batch = None if isinstance(model, NgramSettings) else random_batch(model, each.training, vocab_size, lengths)
    tokens = round(training.steps * tokens_per_step(settings, lengths)) if batch else read
    forward = forward_flops_per_token(model, vocab_size, lengths=lengths)
    measured = calibrate(each, vocab_size, train, batch, longest)
    predicted = predict(each, vocab_size, batch, training_flops(forward, batch.tokens)) if batch else {}
    speed = measured.get("tokens_per_second") or predicted.get("tokens_per_second")
    peak = measured.get("matmul_flops_per_second")
    return {
        "family": model.family,
        "tokens": tokens,
        "parameters": parameters(model, vocab_size, read),
        "flops": breakdown(settings, vocab_size, forward, tokens, lengths),
        "spread": settings.spread.resolved(),
        "memory_bytes": memory,
        "course_memory_bytes": by_the_course(settings, vocab_size),
        "decoding": decoding(settings) | {"tokens_per_second": predict_writing(settings, vocab_size)},
        "time": time_of(tokens, speed, settings),
        "predicted": predicted,
        "calibration": measured | ({"matmul_utilisation": training_flops(forward, 1) * speed / peak} if speed and peak else {}),
    }


def time_of(tokens: int, speed: float | None, settings: EstimateSettings) -> dict[str, float | None]:
    """Tokens a second, seconds for all of them, energy and money. `speed`: the tokens a second of one process with its share of
    the batch; all together do so many times as many."""
    if not speed:
        return {"tokens_per_second": None, "seconds": None}
    processes = settings.spread.processes
    seconds = tokens / (processes * speed)
    return {"tokens_per_second": processes * speed, "seconds": seconds, **price(seconds, settings.machine, processes)}


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
    each: EstimateSettings, vocab_size: int, train: TokenArray | PairArray, batch: Batch | None, longest: Lengths | None
) -> dict[str, Any]:
    """What a few steps of one process take here; nothing for another machine, or where there is not enough memory free."""
    if each.machine.device != "here":
        return {}
    if batch is None:
        assert isinstance(each.model, NgramSettings)
        assert isinstance(train, TokenArray)
        return calibration.calibrate_counting(each.model, vocab_size, train)
    settled = within_memory(each, vocab_size, longest)
    try:
        return calibration.calibrate_batch(each.model, settled.training, vocab_size, batch) if settled else {}
    except (MemoryError, RuntimeError) as error:
        if not calibration.is_out_of_memory(error):
            raise
        log.warning("no calibration: a step ran out of memory (%s)", error)
        return {}


def within_memory(each: EstimateSettings, vocab_size: int, longest: Lengths | None) -> EstimateSettings | None:
    """The same with the micro-batch that a run would choose here; None where it needs more memory than is free on the device."""
    free = spare_memory(each.training)
    if each.training.micro_batch_size == "auto":
        with suppress(UserError):  # not even one sequence fits
            return each.with_training({"micro_batch_size": fitting(each, vocab_size, free, longest)})
    elif memory_of_each(each, vocab_size, lengths=longest)["total"] <= free:
        return each
    log.warning("no calibration: the run needs more than the %s of memory that are free here", shown(free))
    return None
