"""Bootstrap intervals over documents (Efron, 1979): the percentile interval of a ratio of sums.

The document is the unit that is drawn, because tokens within a document are not independent.
"""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from stages.lm.evaluation.settings import SplitSettings

DRAWS_PER_CHUNK = 2**22


class Interval(TypedDict):
    """A measured value and the ends of its interval."""

    value: float
    low: float
    high: float


class Difference(Interval):
    """How much more one model has than another on the same documents, and the p-value of their being alike."""

    p: float


def resampled_sums(columns: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """Sums of each column over documents drawn with replacement: (documents, columns) -> (samples, columns).

    All columns see the same draws, so that ratios and differences between them are paired.
    """
    generator = np.random.default_rng(seed)
    documents = len(columns)
    chunk = max(1, DRAWS_PER_CHUNK // documents)
    sums = []
    for start in range(0, samples, chunk):
        drawn = generator.integers(documents, size=(min(chunk, samples - start), documents))
        sums.append(np.stack([column[drawn].sum(axis=1) for column in columns.T], axis=1))
    return np.concatenate(sums)


def interval(value: float, resampled: NDArray[np.float64], confidence: float) -> Interval:
    """`value` with the central `confidence` share of its resampled values, of which some may be infinite."""
    tail = (1.0 - confidence) / 2.0
    if np.isfinite(resampled).all():
        low, high = np.quantile(resampled, [tail, 1.0 - tail])
    else:
        low, high = np.quantile(resampled, [tail, 1.0 - tail], method="nearest")
    return {"value": float(value), "low": float(low), "high": float(high)}


def ratios(numerators: NDArray[np.float64], denominators: NDArray[np.float64], settings: SplitSettings) -> list[Interval]:
    """The ratio of sums over documents in each column, (documents, columns) each; no column of denominators may sum to zero.

    Where no document that is drawn has anything in a column, the draw says nothing of it and is left out.
    """
    tops, bottoms = numerators.sum(axis=0), denominators.sum(axis=0)
    columns = np.concatenate([numerators, denominators], axis=1)
    sums = resampled_sums(columns, settings.bootstrap_samples, settings.seed)
    found = []
    for column, (top, bottom) in enumerate(zip(tops, bottoms, strict=True)):
        above, below = sums[:, column], sums[:, len(tops) + column]
        drawn = above[below > 0] / below[below > 0]
        found.append(interval(top / bottom, drawn if len(drawn) else np.array([top / bottom]), settings.confidence))
    return found


def paired(more: NDArray[np.float64], weights: NDArray[np.float64], settings: SplitSettings) -> Difference:
    """The difference between two models on the same documents: sum of `more` / sum of `weights`, (documents,) each."""
    sums = resampled_sums(np.stack([more, weights], axis=1), settings.bootstrap_samples, settings.seed)
    resampled = sums[:, 0] / sums[:, 1]
    return {**interval(more.sum() / weights.sum(), resampled, settings.confidence), "p": p_value(resampled)}


def p_value(differences: NDArray[np.float64]) -> float:
    """Two-sided, of resampled differences: twice the smaller share of them that lie on one side of zero, zero included.

    It is small where intervals of a high confidence leave zero out. One is added to both counts, so that no number of samples
    shows less than it can (Davison and Hinkley 1997, section 4.2.5).
    """
    sides = np.count_nonzero(~(differences > 0)), np.count_nonzero(~(differences < 0))  # no number speaks for either side
    return float(min(1.0, 2 * (1 + min(sides)) / (1 + len(differences))))
