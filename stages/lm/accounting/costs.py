"""What one call of each kind of operation takes, fitted to calls that were timed. Of operations without matrix products

    seconds = fixed + near * bytes + middle * those beyond a core's cache + far * those beyond the shared one

and of those with

    seconds = fixed + near * bytes + slower * the longer of two times + quicker * the shorter

The times are what the products take alone, and what their bytes take from where they are, known from the rates that were measured
of them: `slower` says how much longer products take inside, and `quicker` how much of one the other does not hide.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.lm.accounting.operations import Operation
from stages.lm.settings import Settings

CACHES = (2**20, 2**23)
"""Bytes about which a core's own cache and the shared one stop to help."""
MANY = 4
"""Different operations of a kind with products from which on its parts can be told from each other."""


class Products(NamedTuple):
    """What the matrix products inside an operation take by themselves: both nothing where there are none."""

    arithmetic: float
    """Seconds, their matrices at hand."""
    reading: float
    """Seconds in which these come from where they are."""


class Cost(Settings):
    """The coefficients of one kind: seconds, seconds per byte and how much more from further away, and factors."""

    fixed: float
    near: float
    middle: float
    far: float
    quicker: float
    slower: float

    def seconds(self, operation: Operation, products: Products) -> float:
        """Of one call."""
        coefficients = (self.fixed, self.near, self.middle, self.far, self.quicker, self.slower)
        return float(np.dot(coefficients, _features(operation, products)))


class Timed(NamedTuple):
    """A call and how long it took."""

    operation: Operation
    seconds: float


def fit(calls: Sequence[tuple[Timed, Products]]) -> Cost:
    """The cost of calls of one kind, each with what its matrix products take alone: by bytes, and by these where it has any."""
    features = np.array([_features(call.operation, products) for call, products in calls])
    distinct = len({call.operation for call, _ in calls})
    used = [0, 1, 2, 3] if not calls[0][0].operation.products else [0, 1, 4, 5] if distinct >= MANY else [5]
    coefficients = np.zeros(features.shape[1])
    coefficients[used] = least_squares(features[:, used], np.array([call.seconds for call, _ in calls]))
    return Cost(**{name: float(value) for name, value in zip(Cost.model_fields, coefficients, strict=True)})


def least_squares(
    features: NDArray[np.float64], seconds: NDArray[np.float64], power: float = 0.5, rounds: int = 4
) -> NDArray[np.float64]:
    """Coefficients, none negative, that explain `seconds` whose errors grow with a power of them.

    With their root, as of many things added up, what is fitted adds up to the whole. With the first power every example counts
    the same, however long it takes. features: (calls, features), a handful of features, of which every subset is tried. Errors
    are weighted by what is fitted, in rounds, and not by what was measured, which would draw everything down.
    """
    best = np.zeros(features.shape[1])
    expected = seconds
    for _ in range(rounds):
        weights = np.maximum(expected, 1e-9) ** -power
        scaled, target, least = features * weights[:, None], seconds * weights, np.inf
        for size in range(1, features.shape[1] + 1):
            for chosen in map(list, itertools.combinations(range(features.shape[1]), size)):
                found = np.linalg.lstsq(scaled[:, chosen], target, rcond=None)[0]
                error = float(np.square(scaled[:, chosen] @ found - target).sum())
                if (found >= 0).all() and error < least * (1 - 1e-9):
                    best, least = np.zeros(features.shape[1]), error
                    best[chosen] = found
        expected = features @ best
    return best


def _features(operation: Operation, products: Products) -> tuple[float, ...]:
    middle, far = (float(max(0, operation.bytes - cache)) for cache in CACHES)
    return 1.0, float(operation.bytes), middle, far, min(products), max(products)
