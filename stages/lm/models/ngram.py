"""An n-gram language model with interpolated modified Kneser-Ney smoothing.

Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", section 3; the closed form of the
discounts and the treatment of sentence starts are those of Heafield et al. 2013, "Scalable Modified Kneser-Ney".

The counts form a trie in sorted arrays. An n-gram is the pair (index of its first n - 1 tokens among the n-grams of order
n - 1, last token), packed into one integer; the sorted integers of an order are its n-grams, and a position there is the
index. So one binary search per order follows any number of sequences at once, and every continuation of a context is a slice.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.models.kneser_ney import Discounts, adjusted_counts, count
from stages.lm.models.settings import NgramSettings
from stages.lm.models.weights import check_shapes, load_weights, save_weights
from stages.lm.tokens import TokenArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Order:
    """The n-grams of one length: sorted keys, adjusted counts, and what follows from these for probabilities."""

    keys: Ints
    counts: Ints
    discounted: Floats
    """(count - discount) / total of the context: the n-gram's own share of probability."""
    backoff: Floats
    """By context: the probability left for the lower order; 1 where nothing was ever seen to follow."""


@dataclass
class NgramState:
    """The last order - 1 tokens read, (batch, at most order - 1)."""

    ids: Ints


class NgramLM:
    """p(w | context) = discounted(context w) + backoff(context) p(w | context without its first token), down to 1 / vocab_size.

    Documents are sentences: they begin after an end-of-text token and end with one, and no n-gram reaches across it. Every
    token of the vocabulary has a probability above 0 after every context, and the probabilities add up to 1.
    """

    trained_by: Literal["counting", "gradient"] = "counting"
    context_length = None

    def __init__(self, order: int, vocab_size: int) -> None:
        self.order, self.vocab_size = order, vocab_size
        self.orders: list[Order] = []

    @classmethod
    def from_settings(cls, settings: NgramSettings, vocab_size: int) -> Self:
        return cls(settings.order, vocab_size)

    def fit(self, tokens: TokenArray) -> None:
        """Count the n-grams of all documents. Raises UserError if there are no tokens, or ids beyond the vocabulary."""
        ids = np.asarray(tokens.ids, dtype=np.int64)
        if not len(ids):
            raise UserError("the training split holds no tokens; give the corpus more documents")
        if ids.max() >= self.vocab_size:
            raise UserError(
                f"the training split holds token {ids.max()}, but the vocabulary has {self.vocab_size}; tokenize the corpus again"
            )
        grams = count(ids, self.order, self.vocab_size)
        self._set_counts([(gram.keys, counts) for gram, counts in zip(grams, adjusted_counts(grams), strict=True)])

    def num_parameters(self) -> int:
        """One for each n-gram with a count, of any length."""
        return sum(int(np.count_nonzero(order.counts)) for order in self.orders)

    def token_log_probs(self, ids: Tensor) -> Tensor:
        """ln p(ids[:, t + 1] | ids[:, : t + 1]) in float64: (batch, length) -> (batch, length - 1)."""
        tokens = ids.cpu().numpy().astype(np.int64)  # (batch, length)
        nodes = tokens  # the n-gram of the current order that ends at each position, or -1
        probability = np.full(tokens.shape, 1 / self.vocab_size)
        for depth, order in enumerate(self.orders):
            if depth == 0:
                probability = order.discounted[tokens] + order.backoff[0] * probability
                continue
            contexts = _shift(nodes)
            nodes = _find(order.keys, contexts, tokens, self.vocab_size)
            probability = _at(order.discounted, nodes, 0.0) + _at(order.backoff, contexts, 1.0) * probability
        return torch.from_numpy(np.log(probability[:, 1:]))

    def start(self, batch: int) -> NgramState:
        return NgramState(np.empty((batch, 0), dtype=np.int64))

    def advance(self, state: NgramState, ids: Tensor) -> Tensor:
        """ln p(next | the last order - 1 tokens read) in float64: (batch, vocab)."""
        read = np.concatenate((state.ids, ids.cpu().numpy().astype(np.int64)), axis=1)
        state.ids = read[:, read.shape[1] - min(self.order - 1, read.shape[1]) :]
        return torch.from_numpy(np.log(np.stack([self._distribution(context) for context in state.ids])))

    def save(self, folder: Path) -> None:
        save_weights(folder, {name: torch.from_numpy(array) for name, array in self._arrays().items()})

    @classmethod
    def load(cls, folder: Path, settings: NgramSettings, vocab_size: int) -> Self:
        model = cls.from_settings(settings, vocab_size)
        tensors = load_weights(folder)
        numbers = range(1, settings.order + 1)
        expected = {f"{kind}.{n}": tensors.get(f"keys.{n}", torch.empty(0)) for n in numbers for kind in ("keys", "counts")}
        check_shapes(folder, tensors, expected | {"keys.1": torch.empty(vocab_size)})
        model._set_counts([(tensors[f"keys.{n}"].numpy(), tensors[f"counts.{n}"].numpy()) for n in numbers])
        return model

    def _arrays(self) -> dict[str, Ints]:
        numbered = list(enumerate(self.orders, start=1))
        return {f"keys.{n}": order.keys for n, order in numbered} | {f"counts.{n}": order.counts for n, order in numbered}

    def _set_counts(self, counted: list[tuple[Ints, Ints]]) -> None:
        """Derive probabilities from the adjusted counts of every order."""
        contexts = 1
        for keys, counts in counted:
            context = keys // self.vocab_size  # the index of each n-gram's context one order below
            discounts = Discounts.from_counts(counts)
            total = np.bincount(context, weights=counts, minlength=contexts)
            left = np.bincount(context, weights=discounts.of(counts), minlength=contexts)
            seen = total > 0
            backoff = np.divide(left, total, out=np.ones(contexts), where=seen)
            discounted = np.divide(counts - discounts.of(counts), total[context])
            self.orders.append(Order(keys, counts, discounted, backoff))
            contexts = len(keys)

    def _distribution(self, context: Ints) -> Floats:
        """p(. | context), (vocab_size): the context's longest known endings, from the shortest to the longest."""
        unigrams = self.orders[0]
        probability: Floats = unigrams.discounted + unigrams.backoff[0] * (1 / self.vocab_size)
        for length in range(1, len(context) + 1):
            node = self._node(context[len(context) - length :])
            if node < 0:
                break
            order = self.orders[length]
            first, last = np.searchsorted(order.keys, [node * self.vocab_size, (node + 1) * self.vocab_size])
            probability = order.backoff[node] * probability
            probability[order.keys[first:last] % self.vocab_size] += order.discounted[first:last]
        return probability

    def _node(self, tokens: Ints) -> int:
        """The index of an n-gram among those of its length, -1 if it was never seen."""
        node = np.asarray(tokens[:1])
        for order, token in zip(self.orders[1:], tokens[1:], strict=False):
            node = _find(order.keys, node, np.asarray([token]), self.vocab_size)
        return int(node[0])


def _at(values: Floats, index: Ints, default: float) -> Floats:
    """values[index], and `default` where the index is -1."""
    found = np.full(index.shape, default)
    known = index >= 0
    found[known] = values[index[known]]
    return found


def _shift(nodes: Ints) -> Ints:
    """The n-gram that ends one position earlier, -1 at the first position."""
    shifted = np.full_like(nodes, -1)
    shifted[:, 1:] = nodes[:, :-1]
    return shifted


def _find(keys: Ints, contexts: Ints, tokens: Ints, vocab_size: int) -> Ints:
    """The index of each (context, token) in the sorted `keys`, -1 where it is absent or the context is."""
    wanted = contexts * vocab_size + tokens
    if not len(keys):
        return np.full_like(wanted, -1)
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where((contexts >= 0) & (keys[found] == wanted), found, -1)
