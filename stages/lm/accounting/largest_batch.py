"""The largest batch that fits into a device's memory: from the estimate first, then by real steps in processes of their own.

The estimate grows by nearly the same with every example, so a few rehearsals find where it meets the limit. Then the batch is
tried, and lowered or raised until it runs and one example more does not. The answer is kept by device, settings, code and limit.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stages.lm import locks
from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.kept import device_name, key_of_steps, write
from stages.lm.accounting.measured import Steps, peak_bytes, with_batch
from stages.lm.accounting.memory import training_memory
from stages.lm.training.settings import TrainSettings

log = logging.getLogger("stagecraft")

KEPT = Path("state") / "largest_batch.json"


class LargestBatch(NamedTuple):
    """How many examples go through the model at once."""

    batch_size: int
    """That ran, where one more did not; 0 where not even one does."""
    estimated: int
    """By the estimate alone."""


def largest_batch(
    settings: TrainSettings, vocab_size: int, limit: int, lengths: Lengths | None = None, kept: Path = KEPT
) -> LargestBatch:
    """The largest batch, without micro-batches, of which the tensors take at most `limit` bytes.

    `lengths` are those of a translator's sentences. What was found before is read from the file `kept`.
    """
    about = {"settings": with_batch(settings, 1).resolved(), "vocab_size": vocab_size, "lengths": lengths, "limit": limit}
    key = key_of_steps(settings, about)
    with locks.alone(kept):
        known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        if key not in known:
            known[key] = {**_searched(settings, vocab_size, limit, lengths)._asdict(), "device": device_name(settings)}
            write(kept, known)
    return LargestBatch(known[key]["batch_size"], known[key]["estimated"])


def _searched(settings: TrainSettings, vocab_size: int, limit: int, lengths: Lengths | None) -> LargestBatch:
    estimated = estimated_batch(settings, vocab_size, limit, lengths)
    log.info("the estimate meets %s bytes at a batch of %d; now real steps", f"{limit:,}", estimated)

    def runs(size: int) -> bool:
        steps = Steps(with_batch(settings, size).resolved(), vocab_size, lengths, limit)
        fits = peak_bytes(steps) is not None
        log.info("a batch of %d %s", size, "runs" if fits else "does not fit")
        return fits

    return LargestBatch(boundary(runs, estimated) if estimated else 0, estimated)


def estimated_batch(settings: TrainSettings, vocab_size: int, limit: int, lengths: Lengths | None = None) -> int:
    """The largest batch whose estimated peak is at most `limit` bytes."""

    def peak(size: int) -> int:
        train = with_batch(settings, size)
        return training_memory(train.model, train.training, vocab_size, lengths=lengths)["total"]

    return last_below(peak, limit)


def last_below(cost: Callable[[int], int], limit: int) -> int:
    """The largest n > 0 with cost(n) <= limit, 0 if there is none, for a cost that grows with n, nearly by the same each time."""
    low, at_low, high = 0, 0, 0  # high: the lowest known to be above; 0 while there is none
    guess = 1
    slope = 0.0
    while high != low + 1:
        found = cost(guess)
        if low and found > at_low:
            slope = (found - at_low) / (guess - low)
        if found <= limit:
            low, at_low = guess, found
        else:
            high = guess
        further = low + int((limit - at_low) / slope) if slope and low else 2 * low
        guess = min(max(further, low + 1), high - 1 if high else 1000 * (low + 1))
    return low


def boundary(fits: Callable[[int], bool], guess: int) -> int:
    """The n >= 0 with fits(n) and not fits(n + 1), near a guess: steps that double lead across it, halving finds it."""
    first = fits(guess)
    low, high, step = (guess, 0, max(1, guess // 32)) if first else (0, guess, max(1, guess // 32))
    while first and not high:
        low, high = (low + step, 0) if fits(low + step) else (low, low + step)
        step *= 2
    while not first and high - step > 0 and not low:
        low, high = (high - step, high) if fits(high - step) else (0, high - step)
        step *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
