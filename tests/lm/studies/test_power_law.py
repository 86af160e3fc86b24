"""Power laws: an exact one, and a fit whose interval a textbook's formula gives."""

import numpy as np
import pytest

from stages.lm.studies.power_law import fit_power_law


def test_an_exact_power_law_is_found() -> None:
    found = fit_power_law([1, 2, 4, 8], [3, 12, 48, 192])
    assert found == pytest.approx({"factor": 3, "exponent": 2, "low": 2, "high": 2})


def test_the_interval_is_students() -> None:
    """Against numpy's covariance of the slope, and the t of two degrees of freedom from a table."""
    x, y = np.array([1, 2, 4, 8]), np.array([1.0, 2.2, 3.7, 8.5])
    coefficients, covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    found = fit_power_law(x, y)
    assert found["exponent"] == pytest.approx(coefficients[0])
    assert found["high"] - found["exponent"] == pytest.approx(4.303 * covariance[0, 0] ** 0.5)
