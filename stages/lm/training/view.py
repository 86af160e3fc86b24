"""What a person sees of a training: a line with the loss, its curve, the validation loss, the learning rate and the time left."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from stages.lm.progress import Progress as Bar
from stages.lm.progress import progress
from stages.lm.training.state import Progress

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 16


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve in one line of text: the mean of each of `width` equal stretches, or every value where there are fewer."""
    count = min(width, len(values))
    means = []
    for place in range(count):
        stretch = values[place * len(values) // count : (place + 1) * len(values) // count]
        means.append(sum(stretch) / len(stretch))
    low, high = min(means, default=0.0), max(means, default=0.0)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] for mean in means)


class View:
    """The line of one run."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.losses: list[float] = []
        self.shown: dict[str, str] = {}

    def update(self, tokens: int, records: Sequence[Mapping[str, Any]]) -> None:
        """One step over so many tokens is done, and these records came with it."""
        for record in records:
            if "loss" in record:
                self.losses.append(record["loss"])
                self.shown["loss"] = f"{record['loss']:.3f} {sparkline(self.losses)}"
                self.shown["lr"] = f"{record['learning_rate']:.1e}"
            if "validation_loss" in record:
                self.shown["valid"] = f"{record['validation_loss']:.3f}"
        self.bar.update(tokens, **self.shown)


@contextmanager
def view(done: Progress, steps: int, tokens_per_step: int) -> Iterator[View]:
    """The view of a run that goes on from `done`."""
    with progress("train", steps * tokens_per_step, " tokens", start=done.step * tokens_per_step) as bar:
        yield View(bar)
