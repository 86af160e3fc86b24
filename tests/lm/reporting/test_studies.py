"""Studies of models on the page: their numbers, linked, and what the plots say in words."""

from pathlib import Path
from typing import Any

import pytest

from stages.lm import artifacts
from stages.lm.accounting import course
from stages.lm.artifacts import Artifact
from stages.lm.errors import UserError
from stages.lm.reporting.experiments import resolve_studies
from stages.lm.reporting.settings import ReportSettings
from stages.lm.reporting.studies.page import studies
from stages.lm.reporting.svg import colour
from stages.lm.studies.power_law import fit_power_law
from stages.lm.studies.settings import AccountingStudy

LENGTHS = [16, 32, 64, 128]


def run(gain: float, diverges: bool) -> dict[str, Any]:
    norms = [gain**k for k in range(11)]
    bounded = {"norms": norms, "sigma_max": gain, "slope_max": 1.0, "bound": norms}
    free: list[float | None] = [1.0, 50.0, None] if diverges else [1.0, 0.9, 0.8]
    return {
        "model": "rnn", "family": "rnn", "recurrent_init": "orthogonal", "recurrent_gain": gain, "at_start": bounded,
        "trained": {"norms": [1.0] * 11}, "clipped": {"loss": [3.0, 2.0, 1.5], "norm": [1.0, 0.9, 0.8]},
        "unclipped": {"loss": [3.0, 9.0, None] if diverges else [3.0, 2.0, 1.5], "norm": free},
    }  # fmt: skip


def gradients() -> dict[str, Any]:
    return {
        "kind": "gradients",
        "distance": 10,
        "learning_rate": 2.0,
        "clip_norm": 0.5,
        "runs": [run(0.5, False), run(2.0, True)],
    }


def complexity() -> dict[str, Any]:
    def series(quantity: str, exponent: float) -> dict[str, Any]:
        fit = fit_power_law(LENGTHS, [1e-3 * n**exponent for n in LENGTHS])
        measured = [1e-3 * n**exponent for n in LENGTHS]
        return {
            "model": "gpt", "quantity": quantity, "lengths": LENGTHS, "measured": measured, "formula": measured, "fit": fit,
            "formula_fit": fit,
        }  # fmt: skip

    return {"kind": "complexity", "rounds": 3, "series": [series("training time", 1.5), series("training memory", 1.0)]}


def artifact(folder: Path, stats: dict[str, Any]) -> Artifact:
    with artifacts.writing(folder / stats["kind"], "study", {"kind": stats["kind"]}, {}) as draft:
        draft.write_json("stats.json", stats)
    return artifacts.read(folder / stats["kind"], "study")


def test_gradients_are_shown_with_their_bounds_and_where_training_broke(tmp_path: Path) -> None:
    (view,) = studies({"fading": artifact(tmp_path, gradients())}, {}, {}, tmp_path)
    assert [row["untrained, factor per step"].text for row in view.tables["factors"]] == ["0.500", "2.000"]
    assert [row["untrained, bound"].text for row in view.tables["factors"]] == ["0.500", "2.000"]
    assert [row["trained, bound"].text for row in view.tables["factors"]] == ["none", "none"]
    assert view.tables["factors"][0]["trained, factor per step"].artifact == "study/gradients"
    assert view.facts["steepest"] == "rnn, orthogonal × 2"
    assert view.facts["diverged"] == 3
    assert "for rnn, relative to that at the last state" in view.figures["distance"]


def test_exponents_are_shown_beside_those_of_the_formula(tmp_path: Path) -> None:
    found = {"lengths": artifact(tmp_path, complexity())}
    (view,) = studies(found, {"gpt": colour(2)}, {"gpt": 3}, tmp_path)
    assert [row["exponent"].text for row in view.tables["exponents"]] == ["1.50", "1.00"]
    assert view.keys == {"gpt": 3}
    assert "--series-3" in view.figures["lengths"]
    assert "gpt training time grows with exponent 1.50" in view.figures["lengths"]


def test_the_courses_questions_are_answered_with_plots(tmp_path: Path) -> None:
    study = {"kind": "accounting", "study": AccountingStudy(kind="accounting").resolved(), "answers": course.answers()}
    (view,) = studies({"costs": artifact(tmp_path, study)}, {}, {}, tmp_path)
    published = [row["projections, published"].text for row in view.tables["opt"]]
    assert published == ["35%", "32%", "29%", "24%", "22%", "20%", "18%", "17%"]
    assert [row["projections"].text for row in view.tables["opt"]][::7] == ["25.5 %", "32.3 %"]
    assert view.tables["budget"][0]["memory, batch of B"].artifact == "study/accounting"
    assert "as counted right 175B: projections 32 %, feed-forward 65 %, scores 3 %" in view.figures["opt"]
    assert "16,384: projections 11 %, feed-forward 32 %, scores 55 %" in view.figures["context"]
    assert "H100 needs 295" in view.figures["decoding"]


def test_a_study_that_was_not_given_is_refused(tmp_path: Path) -> None:
    settings = ReportSettings(experiments={"a": {}}, studies={"fading": "study/gone"})
    with pytest.raises(UserError, match=r"studies\.fading: study/gone is not among the artifacts given"):
        resolve_studies(settings, {"x": artifact(tmp_path, complexity())})
