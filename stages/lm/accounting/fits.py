"""Whether a training fits into a device's memory, and with which micro-batches it would."""

import re
from collections.abc import Callable
from typing import Any

from stages.lm.accounting.memory import training_memory
from stages.lm.accounting.parameters import parameters
from stages.lm.errors import UserError
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TransformerSeq2SeqSettings
from stages.lm.training.settings import TrainSettings

UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def memory_size(text: str) -> int:
    """The bytes in `80GB` or `74.5 GiB`. Raises ValueError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    if found is None or found[2] not in UNITS or not float(found[1]):
        raise ValueError(f"{text!r} is no amount of memory; write a number and one of {', '.join(UNITS)}, as in 80GB")
    return int(float(found[1]) * UNITS[found[2]])


def shown(size: float) -> str:
    """In units of 10^9 bytes, or of 10^6 below one of them."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"


def peak_memory(settings: TrainSettings, vocab_size: int, tokens: int = 0) -> int | None:
    """Bytes at the peak of training; None where only the text tells: for what counts it, and for pairs of sentences."""
    model = settings.model
    if isinstance(model, TransformerSeq2SeqSettings | RnnSeq2SeqSettings) or (model.trained_by == "counting" and not tokens):
        return None
    total = parameters(model, vocab_size, tokens)["total"]
    return training_memory(model, settings.training, total, vocab_size, tokens)["total"]


def check(where: str, settings: TrainSettings, vocab_size: int | None, needed: int | None, limit: int) -> None:
    """Raise UserError where training needs more than `limit` bytes; the message says what would fit. `where`: the experiment."""
    if needed is None or needed <= limit:
        return
    what = f"{where}: training needs {shown(needed)} at its peak, more than the {shown(limit)} of fits"
    raise UserError(f"{what}; {remedy(settings, vocab_size, limit)}")


def remedy(settings: TrainSettings, vocab_size: int | None, limit: int) -> str:
    """The largest micro-batch that fits, without and with activation checkpointing, or how much even the smallest one takes."""

    def peak(size: int, **changes: Any) -> int | None:
        training = settings.training.model_copy(update={"micro_batch_size": size, **changes})
        return peak_memory(settings.model_copy(update={"training": training}), vocab_size) if vocab_size else None

    one = peak(1)
    if settings.model.trained_by == "counting":
        return "give it less text, a smaller model or a larger device"
    if one is None:
        return "take a smaller training.micro_batch_size, less text, a smaller model or a larger device"
    again: dict[str, Any] = {"activation_checkpointing": True}
    for changes in ({}, again):
        size = largest(lambda size, changes=changes: peak(size, **changes) or 0, settings.training.batch_size, limit)  # type: ignore[misc]
        if size:
            needed = peak(size, **changes) or 0
            with_ = "training.activation_checkpointing: true with " if changes else ""
            return f"{with_}training.micro_batch_size: {size} needs {shown(needed)}"
    return f"even one sequence at a time needs {shown(one)}, so take a smaller model or a larger device"


def largest(peak: Callable[[int], int], most: int, limit: int) -> int:
    """The largest micro-batch up to `most` whose `peak` is within `limit`; 0 if there is none.

    The peak is nearly linear in the micro-batch: a straight line leads to the answer or next to it.
    """
    one, all_ = peak(1), peak(most)
    if all_ <= limit:
        return most
    slope = max(1.0, (all_ - one) / max(1, most - 1))
    size = min(most - 1, max(0, 1 + int((limit - one) // slope)))
    while size > 0 and peak(size) > limit:
        size -= 1
    while size and size + 1 < most and peak(size + 1) <= limit:
        size += 1
    return size
