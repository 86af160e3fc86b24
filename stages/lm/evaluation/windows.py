"""Documents cut into windows that fit a model's context, every token predicted exactly once."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Window(NamedTuple):
    """A piece of one document's row: the boundary token followed by the document's ids.

    The model reads positions `start` to `stop`; what it says about positions `first` to `stop` counts.
    """

    document: int
    start: int
    first: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def windows(lengths: Iterable[int], context_length: int | None, stride: int | None = None) -> Iterator[Window]:
    """The windows of documents with `lengths` ids each (their end-of-text id included), in order.

    A document that fits is one window. A longer one is read in full windows that advance by `stride` tokens, half a context if
    not given, so that past the first window every token is predicted from more than `context_length - stride` tokens.
    """
    for document, length in enumerate(lengths):
        size = length + 1 if context_length is None else context_length + 1
        stop = min(size, length + 1)
        yield Window(document, 0, 1, stop)
        while stop < length + 1:
            first, stop = stop, min(stop + (stride or max(1, (size - 1) // 2)), length + 1)
            yield Window(document, stop - size, first, stop)


def batches(pieces: Iterable[Window], batch_tokens: int) -> Iterator[list[Window]]:
    """Windows of similar length together, longest first, at most `batch_tokens` ids a batch once they are padded."""
    batch: list[Window] = []
    for window in sorted(pieces, key=lambda window: -window.length):
        if batch and (len(batch) + 1) * batch[0].length > batch_tokens:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch
