"""Inverse distribution functions: from a number in the unit interval to a value, for every distribution of W&B's sweep files.

A uniform number becomes a draw from the distribution, whoever chose it: a generator, a grid, or a search in the unit cube.
"""

import math
from itertools import accumulate
from statistics import NormalDist
from typing import Any, cast

from stages.lm.sweeps.settings import Parameter

SMALLEST = 2.0**-53
"""How near to 0 and 1 unbounded distributions are asked."""

DIGITS = 12
"""Significant digits of multiples of q: 0.3, not 0.30000000000000004."""


def value_at(parameter: Parameter, unit: float) -> Any:
    """The value below which the share `unit` of the distribution lies; 0 <= unit <= 1."""
    low, high = cast(float, parameter.min), cast(float, parameter.max)
    match parameter.distribution:
        case "constant":
            return parameter.value
        case "categorical":
            values = cast(list[Any], parameter.values)
            return values[min(int(unit * len(values)), len(values) - 1)]
        case "categorical_w_probabilities":
            return _by_probability(parameter, unit)
        case "int_uniform":
            return min(int(low + unit * (high - low + 1)), int(high))
        case name:
            value = _continuous(name.removeprefix("q_"), parameter, unit)
            return value if parameter.q is None else rounded(value, parameter.q)


def _continuous(name: str, parameter: Parameter, unit: float) -> float:
    low, high = cast(float, parameter.min), cast(float, parameter.max)
    match name:
        case "uniform":
            return low + unit * (high - low)
        case "log_uniform":
            return math.exp(low + unit * (high - low))
        case "inv_log_uniform":  # the logarithm of 1 / value lies evenly
            return math.exp(-(low + (1 - unit) * (high - low)))
        case "log_uniform_values" | "inv_log_uniform_values":  # that of the one and of the other lie alike
            value = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
            return min(max(value, low), high)
        case "normal":
            return _normal(parameter, unit)
        case "log_normal":
            return math.exp(_normal(parameter, unit))
        case "beta":
            from scipy.special import betaincinv

            return float(betaincinv(parameter.a, parameter.b, unit))
    raise ValueError(f"no distribution {name!r}")


def _normal(parameter: Parameter, unit: float) -> float:
    inside = min(max(unit, SMALLEST), 1 - SMALLEST)
    return cast(float, parameter.mu) + cast(float, parameter.sigma) * NormalDist().inv_cdf(inside)


def _by_probability(parameter: Parameter, unit: float) -> Any:
    """The first value whose cumulated probability exceeds `unit`; one without probability is never chosen."""
    values, shares = cast(list[Any], parameter.values), cast(list[float], parameter.probabilities)
    for value, above in zip(values, accumulate(shares), strict=True):
        if unit < above:
            return value
    return [value for value, share in zip(values, shares, strict=True) if share][-1]


def rounded(value: float, q: float) -> int | float:
    """The multiple of q next to `value`; an integer where q is one."""
    steps = round(value / q)
    return steps * q if isinstance(q, int) else float(f"{steps * q:.{DIGITS}g}")


def listed(parameter: Parameter) -> list[Any] | None:
    """All values of a parameter for a grid, both ends included; None where it has no list of them."""
    match parameter.distribution:
        case "constant":
            return [parameter.value]
        case "categorical":
            return parameter.values
        case "int_uniform":
            return list(range(cast(int, parameter.min), cast(int, parameter.max) + 1))
        case "q_uniform":
            low, high, q = cast(float, parameter.min), cast(float, parameter.max), cast(float, parameter.q)
            steps = math.floor((high - low) / q + 1e-9)
            exact = isinstance(low, int) and isinstance(q, int)
            return [low + i * q if exact else float(f"{low + i * q:.{DIGITS}g}") for i in range(steps + 1)]
    return None
