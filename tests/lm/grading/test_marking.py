"""What a submission answers costs its own points at most, whatever it is; the grader goes on."""

from pathlib import Path
from typing import Any

import pytest

from stages.lm.grading import examine as examining
from stages.lm.grading.case import Case
from stages.lm.grading.examine import examine
from stages.lm.grading.examinee import Answered, Examinee
from stages.lm.grading.marking import GRACE_SECONDS, mark
from stages.lm.grading.rubric import Check, Limits, Rubric

ENTRY = Check(points=3, part="P", title="T", requirement="R1", hint="H")


def rubric(*names: str) -> Rubric:
    return Rubric(name="n", title="t", checks=dict.fromkeys(names, ENTRY))


class Always(Examinee):
    """A submission that has one answer to everything."""

    def __init__(self, answer: Any) -> None:
        super().__init__(Path(), Path(), Limits(), "adapters")
        self.answer = answer

    def ask(self, check: str, given: Any) -> Answered:  # noqa: ARG002
        return Answered(self.answer)


@pytest.mark.parametrize("answer", [[10**400] * 6, {"x": None}, None, "x"])
@pytest.mark.parametrize("check", ["schedule", "batch"])
def test_an_answer_of_any_form(answer: Any, check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where our own code writes its files
    (found,) = mark(rubric(check), 0, Always(answer)).marks
    assert found.passed == 0


class Hurried(Always):
    """One that computes what it is asked first, slowly, and nothing any more when it is asked again."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked: set[int] = set()

    def ask(self, check: str, given: Any) -> Answered:  # noqa: ARG002
        if id(given) in self.asked:
            return Answered(given["x"])
        self.asked.add(id(given))
        return Answered(given["x"].sigmoid() * given["x"], seconds=1.5 * GRACE_SECONDS)


def test_an_answer_is_no_better_for_being_quick() -> None:
    entry = ENTRY.model_copy(update={"times_slower": 1.0})
    (found,) = mark(Rubric(name="n", title="t", checks={"silu": entry}), 0, Hurried()).marks
    assert found.passed == 0
    assert "the answer is" in str(found.cases[0].fault)


def test_a_mistake_of_the_grader_ends_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: Any) -> None:
        raise ZeroDivisionError(str(tmp_path))

    monkeypatch.setattr(examining, "mark", mistaken)
    marks = examine(tmp_path, rubric("silu", "linear"), 0)
    said = "the submission could not be graded: ZeroDivisionError; the log of its grading says more"
    assert [one.cases for one in marks.marks] == [[Case("silu", said)], [Case("linear", said)]]
    assert marks.unusable == said


def test_a_full_disk_is_no_fault_of_a_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(examining, "mark", full)
    with pytest.raises(OSError, match="No space left"):
        examine(tmp_path, rubric("silu"), 0)
