"""Scaling laws: known ones are found again, and the course's points give the course's numbers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stages.lm.errors import UserError
from stages.lm.studies.scaling import read
from stages.lm.studies.scaling_laws import Parametric, Training, lowest, optimal, parabola, parametric, resampled

POINTS = Path(__file__).with_name("isoflops_curves.json")
"""72 trainings at 9 budgets: data/isoflops_curves.json of the course."""
CHINCHILLA = Parametric(1.69, 406.4, 410.7, 0.34, 0.28)
"""Hoffmann et al. 2022, equation 10."""


def made(law: Parametric) -> list[Training]:
    """Trainings without noise whose losses follow a law, about its best sizes."""
    found = []
    for budget in (1e18, 1e19, 1e20, 1e21):
        for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
            size = law.optimal(budget)[0] * factor
            found.append(Training(parameters=size, compute_budget=budget, final_loss=law.loss(size, budget / 6 / size)))
    return found


@pytest.mark.parametrize(
    ("best", "exponents", "parameters", "tokens"),
    [
        (lowest, (0.469, 0.531), (7.0e10, 2.06e11), (2.38e11, 8.09e11)),
        (parabola, (0.515, 0.485), (9.11e10, 2.98e11), (1.83e11, 5.59e11)),
    ],
)
def test_the_courses_points_give_the_courses_numbers(
    best: Callable[[Sequence[Training]], float],
    exponents: tuple[float, float],
    parameters: tuple[float, float],
    tokens: tuple[float, float],
) -> None:
    laws = optimal(read(POINTS), best)
    assert (laws.parameters["exponent"], laws.tokens["exponent"]) == pytest.approx(exponents, abs=6e-4)
    for law, expected in ((laws.parameters, parameters), (laws.tokens, tokens)):
        assert [law["factor"] * budget ** law["exponent"] for budget in (1e23, 1e24)] == pytest.approx(expected, rel=5e-3)


def test_a_known_law_is_found_again() -> None:
    trainings = made(CHINCHILLA)
    found = parametric(trainings)
    assert (found.alpha, found.beta, found.e) == pytest.approx((CHINCHILLA.alpha, CHINCHILLA.beta, CHINCHILLA.e), rel=0.02)
    assert found.optimal(1e23) == pytest.approx(CHINCHILLA.optimal(1e23), rel=0.05)
    assert optimal(trainings, lowest).parameters["exponent"] == pytest.approx(0.28 / 0.62, abs=1e-6)
    again = resampled(trainings, found, times=2)
    assert again == resampled(trainings, found, times=2)
    assert [one.alpha for one in again] == pytest.approx([0.34, 0.34], rel=0.1)


def test_the_best_size_is_where_no_other_has_a_lower_loss() -> None:
    size, tokens = CHINCHILLA.optimal(1e20)
    assert 6 * size * tokens == pytest.approx(1e20)
    assert all(CHINCHILLA.loss(size * factor, tokens / factor) > CHINCHILLA.loss(size, tokens) for factor in (0.9, 1.1))


def test_bad_input_is_named(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    with pytest.raises(UserError, match=f"{file}: cannot be read as JSON"):
        read(file)
    file.write_text(json.dumps([{"parameters": 1.0, "compute_budget": 2.0}]))
    with pytest.raises(UserError, match=r"runs.json.0.final_loss: this key is required"):
        read(file)
    with pytest.raises(UserError, match="three budgets or more, not 1"):
        optimal([Training(parameters=1.0, compute_budget=6.0, final_loss=1.0)], lowest)
