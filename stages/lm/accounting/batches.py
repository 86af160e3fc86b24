"""Random batches in the shape of a run's own: for steps that are timed, measured or rehearsed, where the text does not matter."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from stages.lm.accounting import vectors
from stages.lm.models.bert.model import IGNORED
from stages.lm.settings import Settings
from stages.lm.tokens import PairArray
from stages.lm.training.batches import Batch
from stages.lm.training.settings import TrainingSettings


class Lengths(NamedTuple):
    """The number of tokens of the two sentences of a pair, the one that ends them included."""

    source: float
    target: float

    @classmethod
    def of(cls, pairs: PairArray) -> Self:
        """The mean of a split."""
        return cls(len(pairs.source.ids) / max(1, len(pairs)), len(pairs.target.ids) / max(1, len(pairs)))

    @classmethod
    def longest(cls, pairs: PairArray, batch_size: int) -> Self:
        """Of the batch that needs most memory, as padded: pairs are sorted by their targets before they are cut into batches."""
        source, target = np.diff(pairs.source.offsets), np.diff(pairs.target.offsets)
        batch = np.lexsort((source, target))[-batch_size:]
        return cls(int(source[batch].max(initial=1)), int(target[batch].max(initial=1)))


def random_batch(settings: Settings, training: TrainingSettings, vocab_size: int, lengths: Lengths | None = None) -> Batch:
    """The batch of a step. `lengths` are those of a translator's sentences, by default as long as its context."""
    model: Any = settings
    return MAKERS[model.learns_from](model, training, vocab_size, lengths)


def _windows(model: Any, training: TrainingSettings, vocab_size: int, _: Lengths | None) -> Batch:
    """Also of streams, which begin anew with every batch."""
    ids = torch.randint(vocab_size, (training.batch_size, model.context_length + 1))
    fresh = model.learns_from == "streams"
    apart = () if fresh else _documents(training, ids)
    return Batch((ids, *apart), training.batch_size * model.context_length, fresh=fresh)


def _masked(model: Any, training: TrainingSettings, vocab_size: int, _: Lengths | None) -> Batch:
    """With as many tokens to predict as are hidden on average, evenly spread."""
    ids = torch.randint(vocab_size, (training.batch_size, model.context_length))
    count = max(1, round(model.mask_share * ids.numel()))
    place = torch.arange(ids.numel()).view_as(ids)
    chosen = (place + 1) * count // ids.numel() > place * count // ids.numel()
    return Batch((ids, ids.masked_fill(~chosen, IGNORED), *_documents(training, ids)), count, read=ids.numel())


def _documents(training: TrainingSettings, ids: Tensor) -> tuple[Tensor, ...]:
    """The document of each token, where batches say it."""
    return (torch.zeros_like(ids),) if training.batches == "documents" else ()


def _contexts(model: Any, training: TrainingSettings, vocab_size: int, _: Lengths | None) -> Batch:
    size = training.batch_size
    centres = torch.randint(vocab_size, (size,))
    contexts = torch.randint(vocab_size, (size, 2 * model.window))
    noise = torch.randint(vocab_size, (size, vectors.predictions(model), model.negatives))
    return Batch((centres, contexts, noise), size * vectors.counted(model))


def _pairs(model: Any, training: TrainingSettings, vocab_size: int, lengths: Lengths | None) -> Batch:
    lengths = lengths or Lengths(model.context_length, model.context_length)
    size, source, target = training.batch_size, max(1, round(lengths.source)), max(1, round(lengths.target))
    ids = torch.randint(vocab_size, (size, source)), torch.randint(vocab_size, (size, target + 1))
    return Batch((ids[0], torch.full((size,), source), ids[1], torch.full((size,), target + 1)), size * target)


MAKERS: dict[str, Callable[[Any, TrainingSettings, int, Lengths | None], Batch]] = {
    "windows": _windows,
    "streams": _windows,
    "masked": _masked,
    "contexts": _contexts,
    "pairs": _pairs,
}
