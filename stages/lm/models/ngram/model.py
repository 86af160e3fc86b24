"""An n-gram language model of any order: counts, smoothed in one of several ways into back-off tables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from stages.lm.models.ngram.backoff import Floats, Ints, Table, distribution, probabilities
from stages.lm.models.ngram.estimation import estimate
from stages.lm.models.settings import NgramSettings
from stages.lm.models.weights import check_shapes, load_weights, save_arrays
from stages.lm.tokens import TokenArray


@dataclass
class NgramState:
    """The last order - 1 tokens read, (batch, order - 1), the latest last; -1 where there is none."""

    ids: Ints

    def put(self, rows: Tensor, other: "NgramState") -> None:
        """These rows become those of `other`."""
        self.ids[rows.cpu().numpy()] = other.ids

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was: rows may be repeated or left out."""
        self.ids = self.ids[rows.cpu().numpy()]


class NgramLM:
    """p(w | the last order - 1 tokens), from the back-off tables (`ngram.backoff`).

    Documents are sentences: they begin after an end-of-text token and end with one, and no n-gram reaches across it. The
    probabilities after a context add up to 1, to the precision of 32-bit numbers.
    """

    trained_by: Literal["counting", "gradient"] = "counting"
    context_length = None

    def __init__(self, settings: NgramSettings, vocab_size: int) -> None:
        self.settings, self.vocab_size = settings, vocab_size
        self.tables: list[Table] = []

    @property
    def order(self) -> int:
        return self.settings.order

    @classmethod
    def from_settings(cls, settings: NgramSettings, vocab_size: int) -> Self:
        return cls(settings, vocab_size)

    def fit(self, tokens: TokenArray) -> None:
        """Count the n-grams of all documents. Raises UserError if there are no tokens, or ids beyond the vocabulary."""
        self.tables = estimate(tokens.ids, self.vocab_size, self.settings)

    def num_parameters(self) -> int:
        """One for each n-gram in the tables, of any length."""
        return sum(len(table.tokens) for table in self.tables)

    def token_log_probs(self, ids: Tensor) -> Tensor:
        """ln p(ids[:, t + 1] | ids[:, : t + 1]) in float64: (batch, length) -> (batch, length - 1)."""
        return _log(probabilities(self.tables, ids.cpu().numpy().astype(np.int64))[:, 1:])

    def start(self, batch: int) -> NgramState:
        return NgramState(np.full((batch, self.order - 1), -1, dtype=np.int64))

    def advance(self, state: NgramState, ids: Tensor) -> Tensor:
        """ln p(next | the last order - 1 tokens read) in float64: (batch, vocab)."""
        read = np.concatenate((state.ids, ids.cpu().numpy().astype(np.int64)), axis=1)
        state.ids = read[:, read.shape[1] - (self.order - 1) :]
        return _log(np.stack([distribution(self.tables, context[context >= 0]) for context in state.ids]))

    def save(self, folder: Path) -> None:
        save_arrays(folder, {f"{kind}.{n}": value for n, row in enumerate(self.tables, 1) for kind, value in _stored(n, row)})

    @classmethod
    def load(cls, folder: Path, settings: NgramSettings, vocab_size: int) -> Self:
        """The tables stay on disk, mapped into memory."""
        model = cls.from_settings(settings, vocab_size)
        tensors = load_weights(folder)
        check_shapes(folder, tensors, _expected(tensors, settings.order, vocab_size))
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        unigrams = np.arange(vocab_size, dtype=np.uint32), np.array([0, vocab_size], dtype=np.uint32)
        for n in range(1, settings.order + 1):
            tokens, first = (arrays[f"tokens.{n}"], arrays[f"first.{n}"]) if n > 1 else unigrams
            weights = arrays.get(f"backoff.{n}", np.empty(0, np.float32))
            model.tables.append(Table(first, tokens, arrays[f"probability.{n}"], weights))
        return model


def _log(probability: Floats) -> Tensor:
    """ln, which of 0 is minus infinity: maximum likelihood has such tokens."""
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(probability))


def _stored(length: int, table: Table) -> list[tuple[str, Any]]:
    """The arrays of a table that a file holds: unigrams need no index, and the last order has no weights."""
    index = [("first", table.first), ("tokens", table.tokens)] if length > 1 else []
    return [*index, ("probability", table.probability), *([("backoff", table.backoff)] if len(table.backoff) else [])]


def _expected(tensors: dict[str, Tensor], order: int, vocab_size: int) -> dict[str, Tensor]:
    """Names and shapes that belong to each other; how many n-grams there are, the number of probabilities says."""
    shapes: dict[str, int] = {}
    grams = vocab_size
    for n in range(1, order + 1):
        above, grams = grams, vocab_size if n == 1 else len(tensors.get(f"probability.{n}", ()))
        shapes |= {f"probability.{n}": grams} | ({f"first.{n}": above + 1, f"tokens.{n}": grams} if n > 1 else {})
        shapes |= {f"backoff.{n}": grams} if n < order else {}
    return {name: torch.empty(length, device="meta") for name, length in shapes.items()}
