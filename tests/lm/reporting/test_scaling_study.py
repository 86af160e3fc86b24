"""The study of scaling laws on the page: prediction beside outcome, laws, trainings, and what the plots say in words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.lm import artifacts
from stages.lm.artifacts import Artifact
from stages.lm.pages import rendered
from stages.lm.reporting.page import TEMPLATES
from stages.lm.reporting.studies.page import studies
from stages.lm.reporting.studies.view import StudyView
from stages.lm.scaling.runs import grid
from stages.lm.scaling.summary import numbers
from tests.lm.scaling.laws import standard, study, trained, whole


def shown(folder: Path, stats: dict[str, Any]) -> tuple[StudyView, str]:
    """The view of a study with these numbers, and the section of the page that is made of it."""
    with artifacts.writing(folder / "laws", "scaling", {}, {}) as draft:
        draft.write_json("stats.json", stats)
        draft.write_json("timing.json", {"seconds": [1.0] * len(stats["runs"])})
    made: Artifact = artifacts.read(folder / "laws", "scaling")
    (view,) = studies({"compute": made}, {}, {}, folder)
    return view, rendered(TEMPLATES / "studies.html.j2", {"studies": [view]})


def test_the_outcome_stands_beside_the_prediction(tmp_path: Path) -> None:
    stats = whole()
    view, page = shown(tmp_path, stats)
    (row,) = view.tables["prediction"]
    predicted, outcome = stats["prediction"], stats["outcome"]
    assert row["predicted loss"].text == f"{predicted['value']:.4f}"
    assert row["95 % interval"].text == f"[{predicted['low']:.4f}, {predicted['high']:.4f}]"
    assert (row["found"].text, row["error"].text) == (f"{outcome['loss']:.4f}", f"{outcome['error']:+.4f}")
    assert (row["within"].text, row["found"].artifact) == ("yes", "scaling/laws")
    assert [law["method"].text for law in view.tables["laws"]] == ["lowest training", "parabola (chosen)", "parametric"]
    assert len(view.tables["runs"]) == 13
    assert f"at 6.4e+12 FLOPs, found {outcome['loss']:.4f}" in view.figures["frontier"]
    assert "parabola N ~ C^0.4" in view.figures["laws"]
    assert f"1e+11 FLOPs {stats['runs'][0]['parameters']:,} {stats['runs'][0]['loss']:.4f}" in view.figures["isoflops"]
    assert "entropy is 0.2400 nats per token" in page
    assert "The prediction, by the parametric law" in page


def test_a_study_that_predicts_nothing_shows_what_is_known_and_says_why(tmp_path: Path) -> None:
    settings, rows, found = standard()
    stats = numbers(settings, replace(found, predicted=None, problem="no minimum"), rows, None)
    view, page = shown(tmp_path, stats | {"experiment": "gpt", "floor": None})
    assert list(view.figures) == ["isoflops", "laws", "frontier"]
    assert list(view.tables) == ["runs", "laws"]
    assert "Nothing is predicted: no minimum." in page


def test_a_study_whose_trainings_all_failed_has_no_plot(tmp_path: Path) -> None:
    rows = [trained(run, state="failed", message="killed") for run in grid(study())]
    view, page = shown(tmp_path, numbers(study(), "too few", rows, None) | {"experiment": "gpt", "floor": None})
    assert view.figures == {}
    assert "failed: killed" in page
