"""Findings of a scaling study: a known law is found, predicted from, and tested; what went wrong is said."""

import json

import numpy as np
import pytest

from stages.lm.errors import UserError
from stages.lm.scaling.findings import Fitted, findings
from stages.lm.scaling.runs import grid, planned
from stages.lm.scaling.summary import as_csv, formula, law_table, numbers, sentences
from tests.lm.scaling.laws import LAW, measured, standard, study, trained, whole


def test_a_known_law_gives_the_size_and_the_loss_at_a_larger_budget() -> None:
    settings = study()
    found = findings(settings, measured(settings))
    size, tokens = LAW.optimal(settings.predict)
    assert found.predicted.size == pytest.approx(size, rel=0.1)
    assert found.predicted.tokens == pytest.approx(tokens, rel=0.1)
    assert [law.parameters["factor"] * settings.predict ** law.parameters["exponent"] for law in found.laws.values()] == (
        pytest.approx([size] * 3, rel=0.1)
    )
    exponent = LAW.beta / (LAW.alpha + LAW.beta)
    assert [law.parameters["exponent"] for law in found.laws.values()] == pytest.approx([exponent] * 3, abs=0.03)
    predicted = found.fitted.prediction(size, tokens)
    assert predicted["value"] == pytest.approx(LAW.loss(size, tokens), rel=1e-3)
    assert predicted["low"] <= predicted["value"] <= predicted["high"]


def test_the_interval_of_a_prediction_holds_the_scatter_of_the_trainings() -> None:
    """Of a law that is known exactly it is the scatter alone: 95 of 101 trainings from 5 % below to 5 % above."""
    fitted = Fitted(LAW, [LAW] * 4000, [float(np.log(1 + each / 1000)) for each in range(-50, 51)])
    loss = LAW.loss(1e4, 1e6)
    assert fitted.prediction(1e4, 1e6) == pytest.approx({"value": loss, "low": 0.9525 * loss, "high": 1.0475 * loss}, rel=2e-3)
    assert fitted.interval(lambda law: law.loss(1e4, 1e6)) == pytest.approx({"value": loss, "low": loss, "high": loss})


def test_a_prediction_stands_beside_its_outcome() -> None:
    stats = whole()
    predicted, outcome = stats["prediction"], stats["outcome"]
    truth = LAW.loss(predicted["parameters"], predicted["tokens"])
    assert outcome["loss"] == pytest.approx(truth)
    assert outcome["error"] == pytest.approx(truth - predicted["value"])
    assert outcome["error_percent"] == pytest.approx(100 * (truth / predicted["value"] - 1))
    assert outcome["within"] is True
    assert stats["runs"][-1]["budget"] == 6.4e12
    assert stats["exponents"]["above_e"]["value"] == pytest.approx(-0.45 * 0.4 / 0.85, abs=0.03)
    assert json.loads(json.dumps(stats, allow_nan=False)) == stats


def test_a_miss_is_said_to_be_one() -> None:
    stats = whole(last={"validation_loss": 1.0})
    assert stats["outcome"]["within"] is False
    (found,) = [line for line in sentences(stats) if line.startswith("Found: ")]
    assert found.startswith("Found: 1.0000, ")
    assert found.endswith("above the prediction and outside the interval.")


def test_before_the_larger_training_is_made_it_comes_next() -> None:
    settings, rows, found = standard()
    stats = numbers(settings, found, rows, None)
    assert (stats["outcome"], len(stats["runs"])) == (None, 12)
    assert "Found: nothing yet, this training comes next." in sentences(stats)


def test_a_training_without_a_loss_is_left_out_with_a_word() -> None:
    settings = study()
    rows = measured(settings)
    expected = findings(settings, rows[1:])
    rows[0] = trained(grid(settings)[0], state="diverged")
    found = findings(settings, rows)
    assert rows[0]["loss"] is None
    assert found.fitted.law == expected.fitted.law
    assert found.minima[0]["parabola"] is None, "two points have no parabola"
    said = sentences(numbers(settings, found, rows, None))
    assert f"Without a loss, and left out of the fits: {rows[0]['parameters']:,} at 1e+11 (diverged)." in said


def test_too_few_trainings_predict_nothing() -> None:
    settings = study()
    rows = [trained(run, state="failed", message="killed") for run in grid(settings)]
    with pytest.raises(UserError, match="0 trainings have a loss, and a fit needs 6"):
        findings(settings, rows)
    said = sentences(numbers(settings, "no trainings", rows, None))
    assert said[0] == "Nothing is predicted: no trainings."


def test_a_larger_training_that_diverges_has_no_loss_to_compare() -> None:
    stats = whole(state="diverged", message="at step 3")
    assert stats["outcome"] == {"state": "diverged", "message": "at step 3", "loss": None}
    assert "Found: no loss, the training diverged: at step 3." in sentences(stats)


def test_sizes_that_all_lie_on_one_side_have_no_minimum() -> None:
    """What is known is told all the same; another method may go on from there."""
    settings = study(sizes=[600, 1_200, 2_400])
    rows = measured(settings)
    found = findings(settings, rows)
    assert found.predicted is None
    assert "parabola" not in found.laws
    assert all(one["lowest"]["at_edge"] for one in found.minima)
    stats = numbers(settings, found, rows, None)
    assert (stats["prediction"], list(stats["laws"])) == (None, ["lowest", "parametric"])
    said = sentences(stats)
    assert said[0].startswith("Nothing is predicted: size_by parabola: fewer than three budgets have a minimum between")
    assert said[1].startswith("The lowest training is the smallest or the largest one at 1e+11, 2e+11, 4e+11, 8e+11 FLOPs")


def test_text_that_is_read_again_is_told() -> None:
    stats = whole()
    stats["runs"][-1]["epochs"] = 2.5
    assert "1 of the trainings read their text more than once, up to 2.5 times: D counts tokens seen again." in sentences(stats)


def test_tables_hold_every_law_and_every_training() -> None:
    stats = whole()
    assert law_table(stats).count("\n") == 4
    assert "the source's entropy is 0.2400 nats per token" in formula(stats)
    assert len(as_csv(stats["runs"]).splitlines()) == 14
    assert stats["prediction"]["parameters"] == planned(study(), 6.4e12, stats["laws"]["parabola"]["at"][0]).size
