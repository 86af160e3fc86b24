"""Sentence pairs as training data: batches of sentences of about the same length."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.tokens import PairArray
from stages.lm.training.batches import Batch
from stages.lm.training.permutation import mix, permute
from stages.lm.training.settings import TrainingSettings

POOL = 64
"""Batches in a pool, which are drawn together and sorted by length, so that the sentences of a batch need little padding."""


class PairData:
    """Every epoch visits each pair of the split `train` once, in an order of its own.

    The order is a permutation that is computed, not stored. Its next POOL batches are sorted by length, cut into batches, and
    these are taken in an order of their own.
    """

    def __init__(self, splits: Mapping[str, Any], context_length: int, end_of_text: int, training: TrainingSettings) -> None:
        """Raises UserError where a split has no pair, or one with a sentence that does not fit into the context."""
        self.train, self.valid = (checked(splits[split], context_length, split) for split in ("train", "valid"))
        self.end_of_text, self.training = end_of_text, training
        self.batch_size = training.batch_size
        self.lengths = np.diff(self.train.source.offsets), np.diff(self.train.target.offsets)
        self.tokens_per_step = round(self.batch_size * float(self.lengths[1].mean()))
        """On average: batches of long sentences have more of them."""

    def batch(self, step: int) -> Batch:
        return collate(self.train, self.indices(step), self.end_of_text)

    def validation(self) -> Iterator[Batch]:
        """`validation_windows` pairs of the split `valid`, evenly spread, the shortest first."""
        count = min(self.training.validation_windows, len(self.valid))
        chosen = np.linspace(0, len(self.valid) - 1, count).astype(np.int64)
        chosen = chosen[np.argsort(np.diff(self.valid.target.offsets)[chosen], kind="stable")]
        for start in range(0, count, self.batch_size):
            yield collate(self.valid, chosen[start : start + self.batch_size], self.end_of_text)

    def indices(self, step: int) -> NDArray[np.int64]:
        """The pairs of a step: (batch_size,)."""
        pool, number = divmod(step, POOL)
        drawn = self._drawn(pool)
        source, target = self.lengths
        drawn = drawn[np.lexsort((source[drawn], target[drawn]))]
        place = permute(np.array([number]), POOL, mix(mix(np.uint64(self.training.seed), np.uint64(pool)), np.uint64(1)))[0]
        return drawn[place * self.batch_size : (place + 1) * self.batch_size]

    def _drawn(self, pool: int) -> NDArray[np.int64]:
        """The pairs of a pool, in the order of their epochs."""
        size, count = POOL * self.batch_size, len(self.train)
        places = np.arange(pool * size, (pool + 1) * size, dtype=np.int64)
        drawn = np.empty_like(places)
        for epoch in range(places[0] // count, places[-1] // count + 1):
            here = places // count == epoch
            drawn[here] = permute(places[here] % count, count, mix(np.uint64(self.training.seed), np.uint64(epoch)))
        return drawn


def checked(pairs: PairArray, context_length: int, split: str) -> PairArray:
    """The pairs, if there are any and all fit. Raises UserError otherwise."""
    if len(pairs) == 0:
        raise UserError(f"the {split} split has no sentence pairs; give the corpus more of them, or another share of {split}")
    longest = max(int(np.diff(side.offsets).max()) for side in (pairs.source, pairs.target))
    if longest > context_length:
        raise UserError(
            f"model.context_length is {context_length:,}, but the longest sentence of the {split} split has {longest:,} tokens; "
            f"set context_length to at least {longest}, or leave long sentences out of the corpus"
        )
    return pairs


def collate(pairs: PairArray, indices: NDArray[np.int64], end_of_text: int) -> Batch:
    """Some pairs as what `Seq2Seq.total_loss` takes: sources and their lengths, targets and theirs."""
    source = padded([pairs.source.document(index) for index in indices], end_of_text)
    opened = [np.concatenate(([end_of_text], pairs.target.document(index))) for index in indices]
    target, lengths = padded(opened, end_of_text)
    return Batch((*source, target, lengths), int(lengths.sum()) - len(lengths))


def padded(sentences: Sequence[NDArray[Any] | Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Sentences side by side: LongTensors (batch, longest), filled up with `padding`, and of their lengths (batch)."""
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    ids = np.full((len(sentences), int(lengths.max())), padding, dtype=np.int64)
    for row, sentence in zip(ids, sentences, strict=True):
        row[: len(sentence)] = sentence
    return torch.from_numpy(ids), torch.from_numpy(lengths)
