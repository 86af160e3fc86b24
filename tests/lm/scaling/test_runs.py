"""The trainings of a scaling study: sizes, steps and learning rates by definition, and mistakes that are told before any runs."""

from typing import Any

import pytest

from stages.lm.errors import UserError
from stages.lm.models.registry import build
from stages.lm.scaling.runs import ScalingSettings, check, first, grid, matrices, planned
from stages.lm.settings import parse
from tests.lm.scaling.laws import MODEL, TRAINING, study


def test_parameters_are_those_of_the_matrices_that_a_model_has() -> None:
    """Against the model itself: what has two dimensions inside its blocks."""
    for run in grid(study()):
        model = build(run.settings.model, 50, 0)
        inside = [each for name, each in model.named_parameters() if name.startswith("layers.") and each.dim() == 2]
        assert run.size == sum(each.numel() for each in inside)


def test_at_the_usual_ratios_parameters_are_twelve_layers_d_model_squared() -> None:
    model = {"family": "transformer", "context_length": 32, "shape": {"parameters": 12 * 4 * 96**2, "aspect": 24, "d_head": 32}}
    run = planned(study(base={"model": model, "training": TRAINING}), 1e13, 12 * 4 * 96**2)
    assert (run.settings.model.layers, run.settings.model.d_model) == (4, 96)
    assert run.size == 12 * 4 * 96**2


def test_a_training_spends_its_budget() -> None:
    """To half a step: 6 N operations for each of 4 x 32 tokens."""
    for run in grid(study()):
        assert run.tokens == run.settings.training.steps * 4 * 32
        assert abs(run.compute - run.budget) <= 6 * run.size * 4 * 32 / 2


def test_the_first_round_asks_for_every_size_at_every_budget() -> None:
    requests = first(study(sizes=[6_000, 12_000, 24_000]))
    assert [request.number for request in requests] == list(range(12))
    assert [request.parameters["model.shape.parameters"] for request in requests[:4]] == [6_000, 12_000, 24_000, 6_000]
    assert all("training.learning_rate" not in request.parameters for request in requests), "one for all, unless a rule is given"


def test_the_learning_rate_may_follow_the_width() -> None:
    """A model twice as wide as the experiment's with the power -1: half the rate."""
    settings = study(learning_rate_power=-1.0)
    base = planned(study(), 1e11, 10_000).settings
    for run in grid(settings):
        expected = 1e-2 * base.model.d_model / run.settings.model.d_model
        assert run.settings.training.learning_rate == pytest.approx(expected, rel=1e-3)


def test_numbers_may_be_written_as_people_do() -> None:
    given = {
        "kind": "scaling",
        "budgets": ["1e11", "2e11", "4e11"],
        "sizes": [["1", "2", "3"]] * 3,
        "predict": "1e12",
        "base": {},
    }
    settings = parse(ScalingSettings, given, "study")
    assert (settings.budgets, settings.sizes[0], settings.predict) == ([1e11, 2e11, 4e11], [1, 2, 3], 1e12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgets": [2e11, 1e11, 4e11]}, "should rise from each to the next"),
        ({"budgets": [1e11, 2e11]}, "budgets"),
        ({"predict": 4e11}, "predict 4e+11: should be more than the largest budget, 8e+11"),
        ({"sizes": [[6_000, 9_000, 12_000]] * 3}, "sizes: has 3 lists for 4 budgets"),
        ({"sizes": [6_000, 6_000, 9_000]}, "three different sizes at every budget"),
        ({"size_by": "guess"}, "size_by"),
    ],
)
def test_settings_that_fit_no_laws_are_refused(changes: dict[str, Any], message: str) -> None:
    given = study().model_dump() | changes
    with pytest.raises(UserError) as error:
        parse(ScalingSettings, given, "study")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("base", "sizes", "message"),
    [
        ({"model": {"family": "lstm", "layers": 1, "d_model": 8, "context_length": 8}}, None, "of family lstm"),
        ({"model": MODEL | {"shape": None, "layers": 1, "heads": 1, "d_model": 8}}, None, "has no `shape`"),
        ({"training": {"start": "folder"}}, None, "starts from folder, whose size is fixed"),
        ({}, [6_000, 6_010, 12_000], "sizes 6,000 and 6,010 give the same model of"),
        ({}, [6_000, 12_000, 40_000_000], "1e+11 FLOPs are 3 steps for 40,000,000 parameters"),
        ({"training": TRAINING | {"warmup_steps": 100_000}}, None, "warmup_steps 100000 is more than steps"),
    ],
)  # fmt: skip
def test_an_experiment_that_cannot_be_scaled_is_refused(base: dict[str, Any], sizes: list[int] | None, message: str) -> None:
    settings = study(base={"model": MODEL, "training": TRAINING} | base, **({"sizes": sizes} if sizes else {}))
    with pytest.raises(UserError) as error:
        check(settings)
    assert message in str(error.value)


def test_matrices_are_counted_whatever_the_blocks_are_made_of() -> None:
    """2 layers of width 16: four projections, two shared ones half as wide, two matrices of 4 x 16."""
    model = MODEL | {"shape": None, "layers": 2, "heads": 4, "kv_heads": 2, "d_model": 16, "feed_forward": "gelu"}
    settings = planned(study(), 1e11, 10_000).settings.model_validate({"model": model, "training": TRAINING})
    assert matrices(settings) == 2 * (2 * 16 * 16 + 2 * 16 * 8 + 2 * 16 * 64)
