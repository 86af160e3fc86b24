"""Counting n-grams for Kneser-Ney smoothing: raw counts, adjusted counts, discounts (Heafield et al. 2013, section 3)."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of an order whose counts of counts do not allow an estimate (a tiny or an artificial corpus); KenLM's values."""


@dataclass(frozen=True)
class Grams:
    """The distinct n-grams of one length, by their sorted keys, with raw counts."""

    keys: Ints
    counts: Ints
    suffix: Ints
    """The index of the n-gram without its first token, one order below."""
    opens: NDArray[np.bool_]
    """Whether the n-gram begins with the boundary, so that nothing can precede it."""


def count(ids: Ints, order: int, vocab_size: int) -> list[Grams]:
    """The n-grams of length 1 to `order` within documents; `ids` is a stream in which each document ends with the boundary.

    An n-gram may begin with the boundary (the document's start) or end with it (its end), never reach across. The n-grams of
    length 1 are all tokens of the vocabulary, seen or not.
    """
    boundary = ids[-1]
    stream = np.concatenate(([boundary], ids))
    unigrams = np.bincount(ids, minlength=vocab_size)
    everything = np.arange(vocab_size)
    grams = [Grams(everything, unigrams, np.zeros(vocab_size, dtype=np.int64), everything == boundary)]
    nodes = stream.copy()  # the n-gram of the current order that ends at each position, or -1 where it would reach across
    for length in range(2, order + 1):
        below, nodes = nodes, np.full_like(nodes, -1)
        inside = below[:-1] >= 0
        if length > 2:
            inside &= stream[:-1] != boundary
        ends = np.flatnonzero(inside) + 1
        keys, inverse, counts = np.unique(below[ends - 1] * vocab_size + stream[ends], return_inverse=True, return_counts=True)
        nodes[ends] = inverse
        suffix = np.empty(len(keys), dtype=np.int64)
        suffix[inverse] = below[ends]
        grams.append(Grams(keys, counts, suffix, grams[-1].opens[keys // vocab_size]))
    return grams


def adjusted_counts(grams: list[Grams]) -> list[Ints]:
    """For the longest n-grams the raw counts; for shorter ones in how many different contexts they were seen.

    An n-gram that opens a document has nothing before it and keeps its raw count. A single boundary token counts as the end
    of a document.
    """
    adjusted = []
    for length, (gram, above) in enumerate(pairwise(grams), start=1):
        contexts = np.bincount(above.suffix, minlength=len(gram.keys))
        adjusted.append(np.where(gram.opens, gram.counts, contexts) if length > 1 else contexts)
    return [*adjusted, grams[-1].counts]


@dataclass(frozen=True)
class Discounts:
    """What is taken from an n-gram seen once, twice, or three times and more."""

    values: tuple[float, float, float]

    @classmethod
    def from_counts(cls, counts: Ints) -> "Discounts":
        """D_k = k - (k + 1) Y t_(k+1) / t_k with Y = t_1 / (t_1 + 2 t_2), where t_k n-grams have an adjusted count of k."""
        t = np.bincount(np.minimum(counts, 5), minlength=6)
        if not t[1:4].all():
            return cls(FALLBACK)
        y = t[1] / (t[1] + 2 * t[2])
        values = tuple(float(k - (k + 1) * y * t[k + 1] / t[k]) for k in (1, 2, 3))
        return cls(values if all(0 < value <= k for k, value in enumerate(values, start=1)) else FALLBACK)  # type: ignore[arg-type]

    def of(self, counts: Ints) -> Floats:
        """The discount of each count; none is taken from 0."""
        return np.array((0.0, *self.values))[np.minimum(counts, 3)]
