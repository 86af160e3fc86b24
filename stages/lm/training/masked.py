"""Windows of text with hidden tokens, the examples of BERT: Devlin et al. 2019, section 3.1, task 1.

Of the tokens of a window some are chosen to be predicted. 80 % of these are replaced by [MASK], 10 % by a random token, and 10 %
stay, so that the model has to know every token, hidden or not. Which, is a function of seed and step.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stages.lm.models.bert.model import IGNORED, mask_id
from stages.lm.models.bert.settings import BertSettings
from stages.lm.tokens import TokenArray, read_word_starts
from stages.lm.training.batches import Batch, read_windows
from stages.lm.training.permutation import mix, uniforms
from stages.lm.training.settings import TrainingSettings
from stages.lm.training.windows import EpochStarts, RandomStarts, check_length, documents_of

HIDDEN, REPLACED = 0.8, 0.1
VALIDATION = np.uint64(2**63)
"""Stands for the step where the validation windows' masks are drawn: every measurement has the same."""


class Masking:
    """Chooses the tokens that are predicted, and what the model sees in their place."""

    def __init__(self, share: float, vocab_size: int, end_of_text: int, begins_word: NDArray[np.bool_] | None = None) -> None:
        """`begins_word` (vocab): which tokens begin a word; where it is given, the tokens of a word are chosen together."""
        self.share, self.vocab_size, self.end_of_text, self.begins_word = share, vocab_size, end_of_text, begins_word

    def __call__(self, ids: NDArray[np.int64], key: np.uint64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What the model sees, and what it should say: ids (batch, length) -> the same twice, IGNORED where nothing is predicted.

        Every token but the end of text is chosen with probability `share`, and one of each window in any case.
        """
        place = np.arange(ids.size, dtype=np.uint64).reshape(ids.shape)
        draws = uniforms(mix(key, np.uint64(0)), place)
        if self.begins_word is not None:
            draws = np.take_along_axis(draws, self._first_of_word(ids), axis=1)
        draws = np.where(ids == self.end_of_text, np.inf, draws)
        chosen = draws <= np.maximum(self.share, draws.min(axis=1, keepdims=True))
        fate = uniforms(mix(key, np.uint64(1)), place)
        anything = (uniforms(mix(key, np.uint64(2)), place) * self.vocab_size).astype(np.int64)
        seen = np.where(fate < HIDDEN, mask_id(self.vocab_size), np.where(fate < HIDDEN + REPLACED, anything, ids))
        return np.where(chosen, seen, ids), np.where(chosen, ids, IGNORED)

    def _first_of_word(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """For every token where in its window its word begins; a word that the window cuts begins with the window."""
        assert self.begins_word is not None
        begins = self.begins_word[ids]
        begins[:, 1:] |= ids[:, :-1] == self.end_of_text
        return np.maximum.accumulate(np.where(begins, np.arange(ids.shape[1]), 0), axis=1)


class MaskedData:
    """Batches of windows of `context_length` ids with hidden tokens; the batch of a step depends on (seed, step) alone."""

    def __init__(
        self,
        splits: Mapping[str, TokenArray],
        folder: Path,
        vocab_size: int,
        end_of_text: int,
        model: BertSettings,
        training: TrainingSettings,
    ) -> None:
        """`folder` has the token arrays. Raises UserError where not even one window fits into a split."""
        self.train, self.valid, self.length, self.training = splits["train"], splits["valid"], model.context_length, training
        for split, tokens in splits.items():
            check_length(tokens.ids, self.length, split)
        places = RandomStarts if training.batches == "random" else EpochStarts
        self.starts = places(len(self.train.ids), self.length, training.batch_size, training.seed)
        begins_word = read_word_starts(folder) if model.whole_words else None
        self.masking = Masking(model.mask_share, vocab_size, end_of_text, begins_word)
        self.seed = mix(np.uint64(training.seed), np.uint64(1))
        self.tokens_per_step = training.batch_size * self.length

    def batch(self, step: int) -> Batch:
        """The windows of a step: what is seen and what is to be said (batch_size, context_length), and, to stay within documents,
        also these of each id."""
        return self._masked(self.train, self.starts(step), mix(self.seed, np.uint64(step)))

    def validation(self) -> Iterator[Batch]:
        """`validation_windows` windows of the split `valid`, evenly spread, with the same tokens hidden every time."""
        last = len(self.valid.ids) - self.length
        count = min(self.training.validation_windows, last // self.length + 1)
        starts = np.linspace(0, last, count).astype(np.int64)
        for number, first in enumerate(range(0, count, self.training.batch_size)):
            key = mix(mix(self.seed, VALIDATION), np.uint64(number))
            yield self._masked(self.valid, starts[first : first + self.training.batch_size], key)

    def _masked(self, tokens: TokenArray, starts: NDArray[np.int64], key: np.uint64) -> Batch:
        seen, targets = self.masking(read_windows(tokens.ids, starts, self.length).numpy(), key)
        apart = (documents_of(tokens, starts, self.length),) if self.training.batches == "documents" else ()
        parts = (torch.from_numpy(seen), torch.from_numpy(targets), *apart)
        return Batch(parts, int((targets != IGNORED).sum()), read=seen.size)
