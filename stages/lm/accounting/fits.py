"""Whether a training fits into a device's memory, and with which micro-batches it would."""

from collections.abc import Callable
from functools import partial

from stages.lm.accounting.largest_batch import last_below
from stages.lm.accounting.memory import training_memory
from stages.lm.accounting.sizes import shown
from stages.lm.errors import UserError
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TransformerSeq2SeqSettings
from stages.lm.training.settings import TrainSettings


def peak_memory(settings: TrainSettings, vocab_size: int, tokens: int = 0) -> int | None:
    """Bytes at the peak of training; None where only the text tells: for what counts it, and for pairs of sentences."""
    model = settings.model
    if isinstance(model, TransformerSeq2SeqSettings | RnnSeq2SeqSettings) or (model.trained_by == "counting" and not tokens):
        return None
    return training_memory(model, settings.training, vocab_size, tokens)["total"]


def check(where: str, settings: TrainSettings, vocab_size: int | None, needed: int | None, limit: int) -> None:
    """Raise UserError where training needs more than `limit` bytes; the message says what would fit. `where`: the experiment.

    Micro-batches that the run chooses itself may be as small as one sequence.
    """
    if needed is None or needed <= limit:
        return
    smallest = settings.with_training({"micro_batch_size": 1})
    if settings.training.micro_batch_size == "auto" and vocab_size and (peak_memory(smallest, vocab_size) or 0) <= limit:
        return
    what = f"{where}: training needs {shown(needed)} at its peak, more than the {shown(limit)} of fits"
    raise UserError(f"{what}; {remedy(settings, vocab_size, limit)}")


def remedy(settings: TrainSettings, vocab_size: int | None, limit: int) -> str:
    """The largest micro-batch that fits, without and with activation checkpointing, or how much even the smallest one takes."""
    training = settings.training
    if settings.model.trained_by == "counting":
        return "give it less text, a smaller model or a larger device"
    if vocab_size is None or peak_memory(settings, vocab_size) is None:
        return "take a smaller training.micro_batch_size, a smaller model or a larger device"

    def peak(again: bool, size: int) -> int:
        changes = {"micro_batch_size": size, "activation_checkpointing": again or training.activation_checkpointing}
        return peak_memory(settings.with_training(changes), vocab_size) or 0

    for again in (False, True):
        size = largest(partial(peak, again), training.batch_size, limit)
        if size:
            checkpointed = "training.activation_checkpointing: true with " if again else ""
            return f"{checkpointed}training.micro_batch_size: {size} needs {shown(peak(again, size))}"
    return f"even one sequence at a time needs {shown(peak(False, 1))}, so take a smaller model or a larger device"


def largest(peak: Callable[[int], int], most: int, limit: int) -> int:
    """The largest micro-batch up to `most` whose `peak` is within `limit`; 0 if there is none."""
    return most if peak(most) <= limit else last_below(peak, limit)
