"""Bootstrap intervals over documents (Efron, 1979): the percentile interval of a ratio of sums.

The document is the unit that is drawn, because tokens within a document are not independent.
"""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

DRAWS_PER_CHUNK = 2**22


class Interval(TypedDict):
    """A measured value and the ends of its interval."""

    value: float
    low: float
    high: float


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
