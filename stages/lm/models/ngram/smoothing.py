"""From counts to probabilities: what the smoothings share, and the simple ones.

    mle              c(context w) / c(context)                    a token never seen after a seen context has probability 0
    add-k            (c(context w) + k) / (c(context) + k V)      Lidstone; V tokens in the vocabulary
    stupid-backoff   c(context w) / c(context) if that is seen, else a S(w | shorter context)     Brants et al. 2007, section 4

c(context) counts what follows the context. All are written as back-off tables, exactly:

- Maximum likelihood says nothing after a context that was never seen (0 / 0); the longest ending that was seen speaks for it.
- Add-k makes no use of shorter contexts: below the model's own order all tokens are alike, 1 / V. Documents' first tokens have
  shorter contexts by nature, and are estimated from these.
- The scores S of stupid back-off are no probabilities: after a context they add up to more than 1. Here they are divided by
  their sum, Z(context) = 1 + a (Z(shorter context) - the shorter context's scores of what was seen after the longer one), so that
  losses can be compared with those of other models. The order of the candidates and their ratios stay as they were.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.models.ngram.backoff import Floats, Ints, Singles, Table
from stages.lm.models.ngram.counts import Indices, Level, opening
from stages.lm.models.ngram.workspace import IN_MEMORY, Workspace

BLOCK = 1 << 18
"""N-grams that are worked on at once: their numbers fit into the processor's cache."""


def blocks(first: Indices) -> Iterator[tuple[slice, slice, Ints]]:
    """Consecutive contexts, their n-grams, and of each of these n-grams which of the contexts it belongs to."""
    begin, contexts = 0, len(first) - 1
    while begin < contexts:
        reached = int(np.searchsorted(first, np.uint32(min(int(first[begin]) + BLOCK, int(first[-1]))), side="right")) - 1
        end = min(max(reached, begin + 1), begin + BLOCK, contexts)
        grams = slice(int(first[begin]), int(first[end]))
        yield slice(begin, end), grams, np.repeat(np.arange(end - begin), np.diff(first[begin : end + 1]))
        begin = end


def sums(context: Ints, values: NDArray[Any], contexts: slice) -> Floats:
    """The sum of the values of each context's n-grams, added from left to right."""
    return np.bincount(context, weights=values, minlength=contexts.stop - contexts.start).astype(np.float64, copy=False)


def share(part: Floats, whole: Floats, default: float) -> Floats:
    """part / whole, and `default` where the whole is 0."""
    return np.divide(part, whole, out=np.full_like(whole, default), where=whole > 0)


def tables_of(levels: list[Level], probability: list[Singles], backoff: list[Singles]) -> list[Table]:
    """The tables of these numbers; `backoff` may lack the last order, whose n-grams are no contexts."""
    last = [np.empty(0, np.float32)] * (len(levels) - len(backoff))
    rows = zip(levels, probability, [*backoff, *last], strict=True)
    return [Table(level.first, level.tokens, p, b) for level, p, b in rows]


def maximum_likelihood(levels: list[Level], workspace: Workspace = IN_MEMORY) -> list[Table]:
    """Relative frequencies; the back-off weight of a context with a count is 0."""
    return add_k(levels, 0.0, None, workspace)


def add_k(levels: list[Level], k: float, boundary: int | None, workspace: Workspace = IN_MEMORY) -> list[Table]:
    """Lidstone's law for the longest n-grams and for those that open a document; `boundary` None: for all."""
    vocab_size = len(levels[0].tokens)
    probability: list[Singles] = []
    backoff: list[Singles] = []
    for length, level in enumerate(levels, start=1):
        p, b = (workspace.zeros(size, np.float32) for size in (len(level.tokens), len(level.first) - 1))
        for contexts, grams, context in blocks(level.first):
            counts = level.counts[grams]
            total = sums(context, counts, contexts)
            smoothed = total + k * vocab_size
            p[grams] = (counts + k) / smoothed[context]
            b[contexts] = np.where(total > 0, share(np.full_like(total, k * vocab_size), smoothed, 1.0), 1.0)
        if boundary is not None and length < len(levels):
            begins = opening(levels, boundary)
            _keep(p, begins[length - 1] if length > 1 else slice(0, 0), 1 / vocab_size)
            if length > 1:
                _keep(b, begins[length - 2], 1.0)
        probability.append(p)
        if length > 1:
            backoff.append(b)
    return tables_of(levels, probability, backoff)


def _keep(values: Singles, kept: slice, other: float) -> None:
    """Leave the values of a range, and put `other` outside."""
    values[: kept.start] = values[kept.stop :] = other


def stupid_backoff(levels: list[Level], factor: float, workspace: Workspace = IN_MEMORY) -> list[Table]:
    """Relative frequencies over their sum Z, by context; the weight is factor Z(shorter context) / Z(context)."""
    probability: list[Singles] = []
    backoff: list[Singles] = []
    below = np.ones(1)  # Z of the contexts two lengths below, then of those one length below
    for length, level in enumerate(levels, start=1):
        p, weight = (workspace.zeros(size, np.float32) for size in (len(level.tokens), len(level.first) - 1))
        scale = workspace.zeros(len(level.first) - 1, np.float64)
        if length == 1:
            scale[:] = 1.0
        for contexts, grams, context in blocks(level.first):
            counts = level.counts[grams]
            total = sums(context, counts, contexts)
            if length > 1:
                shorter = below[levels[length - 2].suffix[contexts]] if length > 2 else below
                covered = sums(context, probability[-1][level.suffix[grams]], contexts)
                scale[contexts] = np.where(total > 0, 1 + factor * shorter * np.maximum(1 - covered, 0), shorter)
                weight[contexts] = np.where(total > 0, factor * shorter / scale[contexts], 1.0)
            p[grams] = counts / total[context] / scale[contexts][context]
        probability.append(p)
        if length > 1:
            backoff.append(weight)
        below = scale
    return tables_of(levels, probability, backoff)
