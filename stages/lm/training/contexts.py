"""Tokens and what stands around them, the examples of word vectors: Mikolov et al. 2013, as their program word2vec draws them.

An epoch leaves frequent tokens out at random ("subsampling", section 2.3), so that the context of the others reaches further.
What is left is visited in an order of the epoch's own. A context keeps to its document.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from stages.lm.errors import UserError
from stages.lm.models.vectors.model import NOTHING
from stages.lm.models.vectors.settings import CbowSettings, VectorSettings
from stages.lm.tokens import TokenArray
from stages.lm.training.batches import Batch
from stages.lm.training.permutation import mix, permute, uniforms
from stages.lm.training.settings import TrainingSettings

CHUNK = 1 << 20
"""Tokens that are read at once."""


def token_counts(tokens: TokenArray, vocab_size: int) -> NDArray[np.int64]:
    """How often each token occurs: int64 (vocab)."""
    counts = np.zeros(vocab_size, np.int64)
    for start in range(0, len(tokens.ids), CHUNK):
        counts += np.bincount(tokens.ids[start : start + CHUNK], minlength=vocab_size)
    return counts


class Reader:
    """What is read of a split in an epoch, and the contexts there."""

    def __init__(self, tokens: TokenArray, kept: NDArray[np.float64], window: int) -> None:
        """`kept` (vocab): the probability that a token is read."""
        self.tokens, self.kept, self.window = tokens, kept, window
        self.places = lru_cache(maxsize=2)(self._places)

    def contexts(self, places: NDArray[np.int64], chosen: NDArray[np.int64], reach: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids around the `chosen` (batch) of `places`, at most `reach` (batch) on either side: (batch, 2 window)."""
        distance = np.concatenate((np.arange(-self.window, 0), np.arange(1, self.window + 1)))
        around = chosen[:, None] + distance  # (batch, 2 window)
        there = (around >= 0) & (around < len(places)) & (np.abs(distance) <= reach[:, None])
        near = places[np.where(there, around, 0)]
        there &= self._document(near) == self._document(places[chosen])[:, None]
        return np.where(there, self.tokens.ids[near].astype(np.int64), NOTHING)

    def _places(self, key: int) -> NDArray[np.int64]:
        """The places of the tokens that are read, in order; of all that may be read where chance leaves none."""
        found = []
        for start in range(0, len(self.tokens.ids), CHUNK):
            ids = self.tokens.ids[start : start + CHUNK]
            draws = uniforms(np.uint64(key), np.arange(start, start + len(ids), dtype=np.uint64))
            found.append(start + np.flatnonzero(draws < self.kept[ids]))
        places = np.concatenate([np.zeros(0, np.int64), *found])
        return places if len(places) else np.flatnonzero(self.kept[self.tokens.ids] > 0)

    def _document(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.tokens.offsets, places, side="right")


class ContextData:
    """Batches of tokens with their contexts and noise; the batch of a step depends on (seed, step) alone."""

    def __init__(
        self,
        splits: Mapping[str, TokenArray],
        vocab_size: int,
        end_of_text: int,
        model: VectorSettings,
        training: TrainingSettings,
    ) -> None:
        """Raises UserError where a split has no text."""
        counts = token_counts(splits["train"], vocab_size)
        counts[end_of_text] = 0
        for split in ("train", "valid"):
            if not counts[splits[split].ids].any():
                raise UserError(f"the {split} split has no words that the train split has; give the corpus more text")
        self.model, self.training = model, training
        self.seed = mix(np.uint64(training.seed), np.uint64(2))
        kept = keep_probability(counts, model.subsample)
        self.train, self.valid = (Reader(splits[split], kept, model.window) for split in ("train", "valid"))
        self.noise = np.cumsum(counts**model.noise_power * (counts > 0))
        self.steps_per_epoch = max(1, int((counts * kept).sum()) // training.batch_size)
        self.tokens_per_step = training.batch_size * (1 if isinstance(model, CbowSettings) else model.window + 1)
        """On average; a little less, as contexts end with their documents."""

    def batch(self, step: int) -> Batch:
        """The examples of a step: centres (batch_size), contexts (batch_size, 2 window), noise."""
        epoch, number = divmod(step, self.steps_per_epoch)
        key, size = mix(self.seed, np.uint64(epoch)), self.training.batch_size
        places = self.train.places(int(key))
        drawn = np.arange(number * size, (number + 1) * size, dtype=np.int64) % len(places)
        return self._batch(self.train, places, permute(drawn, len(places), key), mix(key, np.uint64(number)))

    def validation(self) -> Iterator[Batch]:
        """`validation_windows` batches of the split `valid`, evenly spread; fewer where it has not so many."""
        places = self.valid.places(int(mix(self.seed, np.uint64(2**63))))
        size = self.training.batch_size
        count = min(self.training.validation_windows, -(-len(places) // size))
        for number, first in enumerate(np.linspace(0, max(0, len(places) - size), count).astype(np.int64)):
            chosen = np.arange(first, min(first + size, len(places)))
            yield self._batch(self.valid, places, chosen, mix(mix(self.seed, np.uint64(2**63 + 1)), np.uint64(number)))

    def _batch(self, reader: Reader, places: NDArray[np.int64], chosen: NDArray[np.int64], key: np.uint64) -> Batch:
        window, rows = self.model.window, np.arange(len(chosen), dtype=np.uint64)
        reach = 1 + (uniforms(mix(key, np.uint64(0)), rows) * window).astype(np.int64)
        contexts = reader.contexts(places, chosen, reach)
        centres = reader.tokens.ids[places[chosen]].astype(np.int64)
        averaged = isinstance(self.model, CbowSettings)
        shape = (len(chosen), 1 if averaged else 2 * window, self.model.negatives)
        draws = uniforms(mix(key, np.uint64(1)), np.arange(np.prod(shape), dtype=np.uint64)).reshape(shape)
        noise = np.searchsorted(self.noise, draws * self.noise[-1], side="right")
        there = contexts != NOTHING
        predictions = int(there.any(axis=1).sum() if averaged else there.sum())
        return Batch((torch.from_numpy(centres), torch.from_numpy(contexts), torch.from_numpy(noise)), max(1, predictions))


def keep_probability(counts: NDArray[np.int64], threshold: float | None) -> NDArray[np.float64]:
    """sqrt(threshold / f) for a token of relative frequency f, at most 1 (section 2.3); 0 for those that never occur."""
    occurs = (counts > 0).astype(np.float64)
    if threshold is None:
        return occurs
    frequency = np.maximum(counts, 1) / counts.sum()
    kept: NDArray[np.float64] = np.minimum(1.0, np.sqrt(threshold / frequency)) * occurs
    return kept
