"""A power law through measured points, with an interval for its exponent."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228}
"""By degrees of freedom: what 97.5 % of Student's t distribution lie below."""


class PowerLaw(TypedDict):
    """y = factor x^exponent, and the 95 % interval of the exponent."""

    factor: float
    exponent: float
    low: float
    high: float


def fit_power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """Least squares on logarithms, over 3 to 12 points; the interval is Student's, from the scatter about the line."""
    log_x, log_y = np.log(np.asarray(x, dtype=float)), np.log(np.asarray(y, dtype=float))
    centred = log_x - log_x.mean()
    exponent = float(centred @ log_y / (centred @ centred))
    offset = float(log_y.mean() - exponent * log_x.mean())
    freedom = len(log_x) - 2
    scatter = log_y - offset - exponent * log_x
    half = STUDENT[freedom] * float(np.sqrt(scatter @ scatter / freedom / (centred @ centred)))
    return {"factor": float(np.exp(offset)), "exponent": exponent, "low": exponent - half, "high": exponent + half}


def at(law: PowerLaw, x: float) -> float:
    """What a law gives for x."""
    return float(law["factor"] * x ** law["exponent"])
