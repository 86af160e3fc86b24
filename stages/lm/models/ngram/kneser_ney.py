"""Interpolated modified Kneser-Ney smoothing.

Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", section 3; the closed form of the
discounts and the treatment of documents' starts are those of Heafield et al. 2013, "Scalable Modified Kneser-Ney", section 3.

    p(w | context) = (a - D(a)) / A + backoff(context) p(w | shorter context)      down to 1 / vocab_size
    backoff(context) = sum of D(a) over what follows / A

where a is the adjusted count of the n-gram and A the sum of a over all that follows the context.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.lm.models.ngram.backoff import Floats, Singles, Table
from stages.lm.models.ngram.counts import Indices, Level, opening
from stages.lm.models.ngram.smoothing import blocks, share, sums, tables_of
from stages.lm.models.ngram.workspace import IN_MEMORY, Workspace

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of an order whose counts of counts do not allow an estimate (a tiny or an artificial corpus); KenLM's values."""

Tally = Callable[[Indices, int], Indices]


@dataclass(frozen=True)
class Discounts:
    """What is taken from an n-gram seen once, twice, or three times and more."""

    values: tuple[float, float, float]

    @classmethod
    def from_counts(cls, counts: NDArray[np.integer]) -> "Discounts":
        """D_k = k - (k + 1) Y t_(k+1) / t_k with Y = t_1 / (t_1 + 2 t_2), where t_k n-grams have an adjusted count of k."""
        pieces = (counts[begin : begin + (1 << 18)] for begin in range(0, len(counts), 1 << 18))
        t = sum((np.bincount(np.minimum(piece, 5), minlength=6) for piece in pieces), np.zeros(6, np.int64))
        if not t[1:4].all():
            return cls(FALLBACK)
        y = t[1] / (t[1] + 2 * t[2])
        values = tuple(float(k - (k + 1) * y * t[k + 1] / t[k]) for k in (1, 2, 3))
        return cls(values if all(0 < value <= k for k, value in enumerate(values, start=1)) else FALLBACK)  # type: ignore[arg-type]

    def of(self, counts: NDArray[np.integer]) -> Floats:
        """The discount of each count; none is taken from 0."""
        discounts: Floats = np.array((0.0, *self.values))[np.minimum(counts, 3)]
        return discounts


def tally(index: Indices, length: int) -> Indices:
    """How often each number below `length` occurs."""
    return np.bincount(index, minlength=length).astype(np.uint32)


def kneser_ney(levels: list[Level], boundary: int, workspace: Workspace = IN_MEMORY, tally: Tally = tally) -> list[Table]:
    """The tables of the smoothed model. The levels lose the arrays that are needed no more; `tally` may be a faster twin."""
    probability: list[Singles] = []
    backoff: list[Singles] = []
    below: Singles = np.full(1, 1 / len(levels[0].tokens), np.float32)
    begins = opening(levels, boundary)
    for length, level in enumerate(levels, start=1):
        counts = adjusted_counts(levels, length, begins[length - 1], tally)
        below, weight = interpolate(level, counts, below, workspace)
        probability.append(below)
        if length > 1:
            backoff.append(weight)
        level.counts = level.suffix = np.empty(0, np.uint32)
    return tables_of(levels, probability, backoff)


def adjusted_counts(levels: list[Level], length: int, opens: slice, tally: Tally = tally) -> Indices:
    """For the longest n-grams the raw counts; for shorter ones in how many different contexts they were seen.

    An n-gram that opens a document has nothing before it and keeps its raw count. A single boundary token counts as the end
    of a document.
    """
    level = levels[length - 1]
    if length == len(levels):
        return level.counts
    adjusted = tally(levels[length].suffix, len(level.tokens))
    if length > 1:
        adjusted[opens] = level.counts[opens]
    return adjusted


def interpolate(level: Level, counts: Indices, below: Singles, workspace: Workspace = IN_MEMORY) -> tuple[Singles, Singles]:
    """The probabilities of one length from those of the length below, and the back-off weights of its contexts.

    A uniform `below` (1) stands for the length 0.
    """
    discounts = Discounts.from_counts(counts)
    probability, backoff = (workspace.zeros(length, np.float32) for length in (len(level.tokens), len(level.first) - 1))
    for contexts, grams, context in blocks(level.first):
        own, taken = counts[grams], discounts.of(counts[grams])
        total = sums(context, own, contexts)
        weight = share(sums(context, taken, contexts), total, 1.0)
        lower = below[level.suffix[grams]] if len(below) > 1 else below
        probability[grams] = share(own - taken, total[context], 0.0) + weight[context] * lower
        backoff[contexts] = weight
    return probability, backoff
