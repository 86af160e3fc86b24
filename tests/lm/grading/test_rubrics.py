"""Rubrics: those that are shipped, those that are refused, and what points they give."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.lm.errors import UserError
from stages.lm.grading.case import Case
from stages.lm.grading.checks.every import CHECKS
from stages.lm.grading.evidence.every import EVIDENCE
from stages.lm.grading.marking import Mark
from stages.lm.grading.rubric import Rubric, read_rubric

CHECK: dict[str, Any] = {"points": 3, "part": "P", "title": "T", "requirement": "R1", "hint": "H"}


def shipped(root: Path) -> dict[str, Rubric]:
    return {file.stem: read_rubric(file) for file in (root / "config/grading").glob("*.yaml")}


def test_the_shipped_rubrics_have_a_hundred_points_each(root: Path) -> None:
    assert {name: rubric.points for name, rubric in shipped(root).items()} == dict.fromkeys(
        ("project-1.1", "project-1.2", "project-1.3"), 100
    )


def test_every_check_is_in_one_shipped_rubric(root: Path) -> None:
    named = [name for rubric in shipped(root).values() for name in rubric.checks]
    assert sorted(named) == sorted([*CHECKS, *EVIDENCE])


def test_parts_stand_together(root: Path) -> None:
    for rubric in shipped(root).values():
        parts = [check.part for check in rubric.checks.values()]
        assert sorted(range(len(parts)), key=lambda place: parts.index(parts[place])) == list(range(len(parts)))


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ({"atention": CHECK}, "unknown check 'atention'; did you mean 'attention'"),
        ({"silu": CHECK | {"points": 0}}, "silu.points"),
        ({"silu": CHECK | {"weight": 1}}, "unknown key 'weight'"),
        ({"silu": CHECK | {"needs": "model"}}, "checks.silu.needs: 'model' is no check that stands above it"),
    ],
)
def test_a_rubric_that_is_refused(checks: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "rubric.yaml"
    file.write_text(yaml.safe_dump({"name": "n", "title": "t", "checks": checks}))
    with pytest.raises(UserError, match=message) as refused:
        read_rubric(file)
    assert str(refused.value).startswith(str(file))


@pytest.mark.parametrize(("partial", "points"), [(True, 2.0), (False, 0.0)])
def test_partial_credit(partial: bool, points: float, root: Path) -> None:
    entry = shipped(root)["project-1.2"].checks["softmax"].model_copy(update={"partial": partial})
    assert Mark("softmax", entry, [Case("a"), Case("b", "wrong"), Case("c")]).points == points
