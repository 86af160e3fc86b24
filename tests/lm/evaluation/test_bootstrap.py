"""Intervals against the normal theory, and what pairing must do."""

import math

import numpy as np
import pytest

from stages.lm.evaluation.bootstrap import interval, p_value, paired, ratios, resampled_sums
from stages.lm.evaluation.settings import EvaluationSettings


def test_interval_of_a_mean_is_that_of_the_normal_theory() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, size=2000)
    columns = np.stack([values, np.ones(2000)], axis=1)
    sums = resampled_sums(columns, samples=4000, seed=0)
    found = interval(values.mean(), sums[:, 0] / sums[:, 1], confidence=0.95)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_intervals_hold_the_true_ratio_as_often_as_they_say() -> None:
    generator = np.random.default_rng(7)
    held = 0
    for trial in range(300):
        lengths = generator.integers(20, 200, size=150).astype(float)
        costs = lengths * 1.5 + generator.normal(0.0, 0.1 * lengths)  # true ratio 1.5
        sums = resampled_sums(np.stack([costs, lengths], axis=1), samples=400, seed=trial)
        found = interval(costs.sum() / lengths.sum(), sums[:, 0] / sums[:, 1], confidence=0.9)
        held += found["low"] <= 1.5 <= found["high"]
    assert held / 300 == pytest.approx(0.9, abs=0.05)


def test_an_infinite_value_has_an_interval_too() -> None:
    found = interval(float("inf"), np.array([1.0] * 10 + [np.inf] * 190), confidence=0.95)
    assert found == {"value": float("inf"), "low": 1.0, "high": float("inf")}


def test_columns_are_resampled_together() -> None:
    values = np.random.default_rng(2).exponential(size=500)
    sums = resampled_sums(np.stack([3.0 * values, values], axis=1), samples=200, seed=0)
    assert sums[:, 0] / sums[:, 1] == pytest.approx(np.full(200, 3.0))
    assert np.ptp(sums[:, 1]) > 0


def test_draws_do_not_depend_on_how_they_are_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.random.default_rng(3).random((70, 2))
    whole = resampled_sums(columns, samples=50, seed=9)
    monkeypatch.setattr("stages.lm.evaluation.bootstrap.DRAWS_PER_CHUNK", 140)
    assert np.allclose(resampled_sums(columns, samples=50, seed=9), whole, rtol=1e-12)


def test_the_seed_decides() -> None:
    columns = np.random.default_rng(4).random((30, 1))
    assert np.array_equal(resampled_sums(columns, 20, seed=5), resampled_sums(columns, 20, seed=5))
    assert not np.array_equal(resampled_sums(columns, 20, seed=5), resampled_sums(columns, 20, seed=6))


def test_ratios_have_their_intervals_column_by_column() -> None:
    generator = np.random.default_rng(6)
    tops, bottoms = generator.random((80, 3)), generator.random((80, 3))
    settings = EvaluationSettings(bootstrap_samples=200, seed=3)
    sums = resampled_sums(np.concatenate([tops, bottoms], axis=1), 200, 3)
    for column, found in enumerate(ratios(tops, bottoms, settings)):
        expected = interval(tops[:, column].sum() / bottoms[:, column].sum(), sums[:, column] / sums[:, 3 + column], 0.95)
        assert found == pytest.approx(expected)


def test_draws_without_a_column_say_nothing_of_it() -> None:
    tops, bottoms = np.array([[0.0], [6.0], [0.0]]), np.array([[0.0], [2.0], [0.0]])
    assert ratios(tops, bottoms, EvaluationSettings(bootstrap_samples=100)) == [{"value": 3.0, "low": 3.0, "high": 3.0}]


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.2])
def test_the_p_value_is_that_of_the_normal_theory(shift: float) -> None:
    values = np.random.default_rng(8).normal(0.0, 1.0, size=500)
    values += shift - values.mean()
    found = paired(values, np.ones(500), EvaluationSettings(bootstrap_samples=4000))
    z = shift / (values.std() / np.sqrt(500))
    assert found["value"] == pytest.approx(shift)
    assert found["p"] == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.03)


def test_alike_models_are_told_apart_as_often_as_the_p_value_says() -> None:
    generator = np.random.default_rng(9)
    found = [
        paired(generator.normal(0.0, 1.0, size=100), np.ones(100), EvaluationSettings(bootstrap_samples=400, seed=trial))["p"]
        for trial in range(400)
    ]
    assert np.mean(np.array(found) < 0.1) == pytest.approx(0.1, abs=0.04)


def test_no_difference_at_all_is_as_probable_as_can_be_and_none_is_impossible() -> None:
    assert p_value(np.zeros(100)) == p_value(np.full(100, math.nan)) == 1.0
    assert p_value(np.full(999, 0.3)) == pytest.approx(0.002)
    assert p_value(np.full(999, -math.inf)) == pytest.approx(0.002)
