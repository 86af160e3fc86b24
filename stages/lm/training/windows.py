"""Windows of a stream of tokens, the examples of a causal language model: where those of a step start is computed."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.tokens import TokenArray
from stages.lm.training.batches import Batch, read_windows
from stages.lm.training.permutation import mix, permute
from stages.lm.training.settings import TrainingSettings


def check_length(ids: NDArray[np.integer], context_length: int, split: str) -> None:
    """Raises UserError if not even one window of context_length + 1 ids fits into the split."""
    if len(ids) < context_length + 1:
        raise UserError(
            f"model.context_length is {context_length:,}, but the {split} split has only {len(ids):,} tokens (one more than the "
            f"context is needed); set context_length to at most {len(ids) - 1:,}, or give the corpus more text"
        )


class EpochStarts:
    """Every window once an epoch.

    An epoch cuts the stream into windows `context_length` apart, so that every id is predicted once (but for less than two
    windows at the ends of the stream), from an offset of its own, and visits them in an order of its own.
    """

    def __init__(self, length: int, context_length: int, batch_size: int, seed: int) -> None:
        """`length` is that of the stream, at least context_length + 1."""
        self.context_length, self.batch_size, self.seed = context_length, batch_size, seed
        self.windows = max(1, length // context_length - 1)
        self.offsets = min(context_length, length - self.windows * context_length)

    def __call__(self, step: int) -> NDArray[np.int64]:
        """Where the windows of a step's batch start: (batch_size,)."""
        drawn = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        starts = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(drawn[0] // self.windows, drawn[-1] // self.windows + 1):
            here = drawn // self.windows == epoch
            key = mix(np.uint64(self.seed), np.uint64(epoch))
            offset = int(mix(key, np.uint64(0)) % np.uint64(self.offsets))
            starts[here] = offset + permute(drawn[here] % self.windows, self.windows, key) * self.context_length
        return starts


class RandomStarts:
    """Windows from uniformly random places, 0 .. length - context_length - 1."""

    def __init__(self, length: int, context_length: int, batch_size: int, seed: int) -> None:
        self.places, self.batch_size, self.seed = length - context_length, batch_size, seed

    def __call__(self, step: int) -> NDArray[np.int64]:
        """Where the windows of a step's batch start: (batch_size,)."""
        drawn = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.uint64)
        return (mix(mix(np.uint64(self.seed), np.uint64(0)), drawn) % np.uint64(self.places)).astype(np.int64)


class WindowData:
    """Batches of windows of context_length + 1 ids; the batch of a step depends on (seed, step) alone."""

    def __init__(self, splits: Mapping[str, TokenArray], context_length: int, settings: TrainingSettings) -> None:
        """Raises UserError if not even one window fits into a split."""
        self.tokens, self.context_length = splits["train"], context_length
        check_length(self.tokens.ids, context_length, "train")
        places = RandomStarts if settings.batches == "random" else EpochStarts
        self.starts = places(len(self.tokens.ids), context_length, settings.batch_size, settings.seed)
        self.within_documents = settings.batches == "documents"
        self.tokens_per_step = settings.batch_size * context_length
        self._validation = validation_batches(splits["valid"], context_length, settings.validation_windows, settings.batch_size)

    def batch(self, step: int) -> Batch:
        """The windows of a step, ids (batch_size, context_length + 1); to stay within documents, also these of each id."""
        starts = self.starts(step)
        ids = read_windows(self.tokens.ids, starts, self.context_length + 1)
        documents = (documents_of(self.tokens, starts, self.context_length + 1),) if self.within_documents else ()
        return Batch((ids, *documents), self.tokens_per_step)

    def validation(self) -> Iterator[Batch]:
        return iter(self._validation)


def documents_of(tokens: TokenArray, starts: NDArray[np.int64], length: int) -> Tensor:
    """For every id in these windows the number of the document whose continuation it predicts: LongTensor (starts, length).

    So an end-of-text id counts as the opening of the document after it, as it does in evaluation.
    """
    predicted = starts[:, None] + np.arange(1, length + 1)
    return torch.from_numpy(np.searchsorted(tokens.offsets, predicted, side="right") - 1)


def validation_batches(tokens: TokenArray, context_length: int, windows: int, batch_size: int) -> list[Batch]:
    """`windows` windows evenly spread over a split; fewer where it has no more without overlap.

    Each keeps to one document: it moves back to the end-of-text id before its document where that is less than a context away,
    and what follows its document's end is not counted. So short documents are measured whole, and nothing is asked that a model
    cannot know. Raises UserError if not even one window fits.
    """
    check_length(tokens.ids, context_length, "valid")
    last = len(tokens.ids) - context_length - 1
    spread = np.linspace(0, last, min(windows, last // context_length + 1)).astype(np.int64)
    document = np.searchsorted(tokens.offsets, spread, side="right") - 1
    opened = np.maximum(tokens.offsets[document] - 1, 0)
    starts = np.where(spread - opened < context_length, opened, spread)
    targets = starts[:, None] + np.arange(1, context_length + 1)  # (windows, context_length)
    counted = torch.from_numpy(targets < tokens.offsets[document + 1][:, None])
    ids = read_windows(tokens.ids, starts, context_length + 1)
    pairs = zip(torch.split(ids, batch_size), torch.split(counted, batch_size), strict=True)
    return [Batch((part,), int(marks.sum()), marks) for part, marks in pairs]
