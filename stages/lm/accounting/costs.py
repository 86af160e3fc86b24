"""What one call of each kind of operation takes, fitted to calls that were timed.

    seconds = fixed + near * bytes that fit into a core's cache + middle * those that fit into the shared one + far * the rest
              + work * seconds of its matrix products alone

The last is known from the rates of matrix products; `work` says how much longer they take inside.
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
"""Different operations of a kind with products from which on a fixed part can be told from the products."""


class Cost(Settings):
    """The coefficients of one kind: seconds, seconds per byte near and far, and a factor."""

    fixed: float
    near: float
    middle: float
    far: float
    work: float

    def seconds(self, operation: Operation, products: float) -> float:
        """Of one call, whose matrix products alone take `products` seconds."""
        return float(np.dot((self.fixed, self.near, self.middle, self.far, self.work), _features(operation, products)))


class Timed(NamedTuple):
    """A call and how long it took."""

    operation: Operation
    seconds: float


def fit(calls: Sequence[tuple[Timed, float]]) -> Cost:
    """The cost of calls of one kind, each with the seconds of its matrix products alone: by these where it has some, else by
    its bytes."""
    features = np.array([_features(call.operation, products) for call, products in calls])
    distinct = len({call.operation for call, _ in calls})
    used = [0, 1, 2, 3] if not calls[0][0].operation.products else [0, 3, 4] if distinct >= MANY else [4]
    coefficients = np.zeros(5)
    coefficients[used] = least_squares(features[:, used], np.array([call.seconds for call, _ in calls]))
    return Cost(**{name: float(value) for name, value in zip(Cost.model_fields, coefficients, strict=True)})


def least_squares(features: NDArray[np.float64], seconds: NDArray[np.float64], rounds: int = 4) -> NDArray[np.float64]:
    """Coefficients, none negative, that explain `seconds` whose errors grow with their root: what is fitted adds up to the whole.

    features: (calls, features), a handful of features, of which every subset is tried. Errors are weighted by what is fitted,
    in rounds, and not by what was measured, which would draw everything down.
    """
    best = np.zeros(features.shape[1])
    expected = seconds
    for _ in range(rounds):
        weights = 1 / np.sqrt(np.maximum(expected, 1e-9))
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


def _features(operation: Operation, products: float) -> tuple[float, ...]:
    own, shared = (min(operation.bytes, cache) for cache in CACHES)
    return 1.0, float(own), float(shared - own), float(operation.bytes - shared), products
