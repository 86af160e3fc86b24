"""Whether a training fits into a device's memory, and with which micro-batches it would."""

import itertools
import math
from collections.abc import Callable
from functools import partial

from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.largest_batch import last_below
from stages.lm.accounting.settings import EstimateSettings
from stages.lm.accounting.sizes import shown
from stages.lm.accounting.spread_memory import memory_of_each
from stages.lm.errors import UserError
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TransformerSeq2SeqSettings


def peak_memory(settings: EstimateSettings, vocab_size: int, tokens: int = 0) -> int | None:
    """Bytes at the peak of training, on each device; None where only the text tells: for what counts it, and for pairs of
    sentences."""
    model = settings.model
    if isinstance(model, TransformerSeq2SeqSettings | RnnSeq2SeqSettings) or (model.trained_by == "counting" and not tokens):
        return None
    return memory_of_each(settings, vocab_size, tokens)["total"]


def check(where: str, settings: EstimateSettings, vocab_size: int | None, needed: int | None, limit: int) -> None:
    """Raise UserError where training needs more than `limit` bytes; the message says what would fit. `where`: the experiment.

    Micro-batches that the run chooses itself may be as small as one sequence; where only the text tells how long these are, the
    run finds out.
    """
    if needed is None or needed <= limit:
        return
    if settings.training.micro_batch_size == "auto" and vocab_size is not None:
        smallest = peak_memory(settings.with_training({"micro_batch_size": 1}), vocab_size)
        if smallest is None or smallest <= limit:
            return
    each = f" on each of {settings.spread.processes} devices" if settings.spread.processes > 1 else ""
    what = f"{where}: training needs {shown(needed)} at its peak{each}, more than the {shown(limit)} of fits"
    raise UserError(f"{what}; {remedy(settings, vocab_size, limit)}")


def remedy(settings: EstimateSettings, vocab_size: int | None, limit: int) -> str:
    """The largest micro-batch that fits, without and with activation checkpointing, then with the model in shards where there are
    several devices, or how much even the smallest one takes."""
    training, spread = settings.training, settings.spread
    if settings.model.trained_by == "counting":
        return "give it less text, a smaller model or a larger device"
    if vocab_size is None or peak_memory(settings, vocab_size) is None:
        return "take a smaller training.micro_batch_size, a smaller model or a larger device"

    def peak(sharded: bool, again: bool, size: int) -> int:
        changes = {"micro_batch_size": size, "activation_checkpointing": again or training.activation_checkpointing}
        spread_so = spread.model_copy(update={"engine": "fsdp" if sharded else spread.engine})
        return peak_memory(settings.with_training(changes).model_copy(update={"spread": spread_so}), vocab_size) or 0

    shards = (False, True) if spread.processes > 1 and spread.engine == "ddp" else (False,)
    for sharded, again in itertools.product(shards, (False, True)):
        size = largest(partial(peak, sharded, again), spread.share_of(training.batch_size), limit)
        if size:
            asked = ["execution.engine: fsdp with "] * sharded + ["training.activation_checkpointing: true with "] * again
            return f"{''.join(asked)}training.micro_batch_size: {size} needs {shown(peak(sharded, again, size))}"
    return f"even one sequence at a time needs {shown(peak(shards[-1], False, 1))}, so take a smaller model or a larger device"


def largest(peak: Callable[[int], int], most: int, limit: int) -> int:
    """The largest micro-batch up to `most` whose `peak` is within `limit`; 0 if there is none."""
    return most if peak(most) <= limit else last_below(peak, limit)


def fitting(settings: EstimateSettings, vocab_size: int, limit: int, lengths: Lengths | None) -> int:
    """The largest micro-batch within `limit` bytes, cut evenly, so that a little more or less memory chooses the same. Raises
    UserError where not even one sequence fits."""
    share = settings.spread.share_of(settings.training.batch_size)

    def peak(size: int) -> int:
        return memory_of_each(settings.with_training({"micro_batch_size": size}), vocab_size, lengths=lengths)["total"]

    size = largest(peak, share, limit)
    if not size:
        raise UserError(
            f"training.micro_batch_size: by the estimate even one sequence at a time needs {shown(peak(1))}, more than the "
            f"{shown(limit)} that are free; set training.activation_checkpointing, take a smaller model, or set 1 and try"
        )
    return math.ceil(share / math.ceil(share / size))
