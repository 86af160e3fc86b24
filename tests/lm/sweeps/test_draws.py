"""Grids and draws: those of W&B's engine where it is right, and the stated distributions."""

import json
import math
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from stages.lm.errors import UserError
from stages.lm.sweeps.draws import grid, independent, quasi_random
from tests.lm.sweeps.spaces import space

DRAWS = 10_000
REFERENCE = json.loads(Path(__file__).with_name("wandb_draws.json").read_text())

CONTINUOUS = [
    ({"distribution": "uniform", "min": -1, "max": 3}, stats.uniform(-1, 4)),
    ({"distribution": "log_uniform", "min": -2.0, "max": 3.0}, stats.loguniform(math.exp(-2), math.exp(3))),
    ({"distribution": "log_uniform_values", "min": 1.0e-4, "max": 0.1}, stats.loguniform(1e-4, 0.1)),
    ({"distribution": "inv_log_uniform", "min": -2.0, "max": 3.0}, stats.loguniform(math.exp(-3), math.exp(2))),
    ({"distribution": "inv_log_uniform_values", "min": 1.0e-4, "max": 0.1}, stats.loguniform(1e-4, 0.1)),
    ({"distribution": "normal", "mu": 1.0, "sigma": 2.0}, stats.norm(1, 2)),
    ({"distribution": "log_normal", "mu": 0.5, "sigma": 0.25}, stats.lognorm(0.25, scale=math.exp(0.5))),
    ({"distribution": "beta", "a": 2.0, "b": 5.0}, stats.beta(2, 5)),
]
"""Distributions and their definition by scipy."""

ROUNDED = [
    ({"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.25}, stats.uniform(0, 1), 0.25),
    ({"distribution": "q_log_uniform", "min": 0.0, "max": 3.0, "q": 2}, stats.loguniform(1, math.exp(3)), 2),
    ({"distribution": "q_log_uniform_values", "min": 1.0, "max": 50.0, "q": 8}, stats.loguniform(1, 50), 8),
    ({"distribution": "q_normal", "mu": 0.0, "sigma": 10.0, "q": 5}, stats.norm(0, 10), 5),
    ({"distribution": "q_log_normal", "mu": 2.0, "sigma": 1.0, "q": 4}, stats.lognorm(1.0, scale=math.exp(2)), 4),
    ({"distribution": "q_beta", "a": 2.0, "b": 2.0, "q": 0.1}, stats.beta(2, 2), 0.1),
]
"""Distributions, what is rounded, and to multiples of what."""

LISTED = [
    ({"values": ["x", 0, None]}, {"x": 1 / 3, 0: 1 / 3, None: 1 / 3}),
    ({"values": ["x", 0, None], "probabilities": [0.2, 0.8, 0.0]}, {"x": 0.2, 0: 0.8}),
    ({"min": 3, "max": 6}, dict.fromkeys((3, 4, 5, 6), 0.25)),
]


def drawn(entry: dict[str, Any], quasi: bool = False) -> list[Any]:
    points = (quasi_random if quasi else independent)(space({"a": entry}), 3)
    return [point.parameters["a"] for point in islice(points, DRAWS)]


@pytest.mark.parametrize(("entry", "definition"), CONTINUOUS, ids=lambda given: str(given)[:40])
@pytest.mark.parametrize("quasi", [False, True])
def test_continuous_distributions(entry: dict[str, Any], definition: Any, quasi: bool) -> None:
    assert stats.kstest(drawn(entry, quasi), definition.cdf).pvalue > 0.01


@pytest.mark.parametrize(("entry", "definition", "q"), ROUNDED, ids=lambda given: str(given)[:40])
def test_rounded_distributions(entry: dict[str, Any], definition: Any, q: float) -> None:
    values, counts = np.unique(drawn(entry), return_counts=True)
    expected = definition.cdf(values + q / 2) - definition.cdf(values - q / 2)
    assert np.allclose(values / q, np.round(values / q))
    assert np.abs(counts / DRAWS - expected).max() < 4 * 0.5 / math.sqrt(DRAWS)


@pytest.mark.parametrize(("entry", "shares"), LISTED, ids=lambda given: str(given)[:40])
def test_listed_values(entry: dict[str, Any], shares: dict[Any, float]) -> None:
    values = drawn(entry)
    assert set(values) == set(shares)
    for value, share in shares.items():
        assert abs(values.count(value) / DRAWS - share) < 4 * 0.5 / math.sqrt(DRAWS)


def test_random_draws_are_those_of_the_published_engine() -> None:
    points = islice(independent(space(REFERENCE["parameters"]), 17), len(REFERENCE["draws"]))
    for point, reference in zip(points, REFERENCE["draws"], strict=True):
        assert list(point.parameters) == list(reference)
        for name, value in reference.items():
            assert point.parameters[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name


def test_more_draws_keep_the_first_ones() -> None:
    parameters = space({"a": {"min": 0.0, "max": 1.0}})
    for draw in (independent, quasi_random):
        assert list(islice(draw(parameters, 1), 5)) == list(islice(draw(parameters, 1), 9))[:5]
        assert next(draw(parameters, 1)) != next(draw(parameters, 2))


def test_a_grid_is_that_of_the_published_engine() -> None:
    """Sorted names, the last fastest, equal values once: what grid_search_next_runs of `sweeps` 0.3.0 gives."""
    entries = {
        "training.b": {"values": [1, 2, 2]},
        "model.a": {"values": ["p", "q"]},
        "k": {"min": 1, "max": 2},
        "c": {"value": 5},
    }
    found = [tuple(point.parameters.values()) for point in grid(space(entries))]
    assert found == [(5, k, a, b) for k in (1, 2) for a in ("p", "q") for b in (1, 2)]


def test_a_grid_over_q_uniform_holds_its_maximum() -> None:
    """W&B's leaves it out."""
    for low, high, q, values in ((0, 6, 2, [0, 2, 4, 6]), (0.1, 0.3, 0.1, [0.1, 0.2, 0.3]), (1, 6, 2, [1, 3, 5])):
        entry = {"distribution": "q_uniform", "min": low, "max": high, "q": q}
        assert [point.parameters["a"] for point in grid(space({"a": entry}))] == values


def test_a_grid_tells_values_apart_that_python_takes_for_equal() -> None:
    assert [point.parameters["a"] for point in grid(space({"a": {"values": [1, True, 0, False, None, ""]}}))] == [
        1, True, 0, False, None, "",
    ]  # fmt: skip


def test_a_grid_needs_lists() -> None:
    with pytest.raises(UserError, match=r"parameters.a: method grid needs a list of values, which distribution normal is not"):
        next(grid(space({"a": {"distribution": "normal"}})))


def test_quasi_random_points_leave_no_holes() -> None:
    """Of 1,000 points in a square, each of 10 x 10 cells holds about 10: independent ones leave some with 3."""
    parameters = space({"a": {"min": 0.0, "max": 1.0}, "b": {"min": 0.0, "max": 1.0}})
    points = np.array([list(point.parameters.values()) for point in islice(quasi_random(parameters, 0), 1000)])
    counts, *_ = np.histogram2d(points[:, 0], points[:, 1], bins=10, range=[[0, 1], [0, 1]])
    assert counts.min() >= 7
    assert counts.max() <= 13
