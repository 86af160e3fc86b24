"""What a graded submission is written down as: Gradescope's results.json, and the times apart from it."""

from typing import Any

from stages.lm.grading.code_report import CodeReport
from stages.lm.grading.marking import Mark, Marks
from stages.lm.grading.rubric import Rubric


def gradescope(rubric: Rubric, marks: Marks, report: CodeReport, seed: int) -> dict[str, Any]:
    """Gradescope's results.json, with a test for each check. What a person gives is not in its score."""
    return {
        "score": marks.points,
        "output": headline(rubric, marks),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(mark, number) for number, mark in enumerate(marks.marks, 1)],
        "extra_data": {
            "rubric": rubric.name,
            "seed": seed,
            "points": rubric.points,
            "isolation": marks.isolation,
            "code": report.sentences(),
            "by_a_person": [{"title": item.title, "points": item.points} for item in rubric.manual],
        },
    }


def headline(rubric: Rubric, marks: Marks) -> str:
    """The result in a sentence."""
    lost = sum(mark.share < 1 for mark in marks.marks)
    said = "every check passes" if not lost else f"{lost} of {len(marks.marks)} checks lose points"
    return f"{marks.points:g} of {rubric.points:g} points; {said}"


def words(mark: Mark) -> list[str]:
    """What was wrong, a line for each case, or one for all where they failed alike."""
    faults = {case.name: case.fault for case in mark.cases if case.fault is not None}
    if len(faults) > 1 and len(set(faults.values())) == 1:
        return [next(iter(faults.values()))]
    return [f"{name}: {fault}" for name, fault in faults.items()]


def _test(mark: Mark, number: int) -> dict[str, Any]:
    failed = words(mark)
    return {
        "name": mark.entry.title,
        "number": str(number),
        "score": mark.points,
        "max_score": mark.entry.points,
        "status": "passed" if mark.share == 1 else "failed",
        "output": "\n".join([*failed, f"Hint ({mark.entry.requirement}): {mark.entry.hint}"] if failed else []),
        "output_format": "text",
        "tags": [mark.name, mark.entry.part],
        "visibility": "visible",
    }


def readme(name: str, rubric: Rubric, marks: Marks) -> str:
    """The artifact explained to a person."""
    lines = [f"- {mark.entry.title}: {mark.points:g} of {mark.entry.points:g}" for mark in marks.marks if mark.share < 1]
    lost = "\n".join(lines)
    return f"""# {name}: {rubric.title}

{headline(rubric, marks)}.

{lost or "Nothing is left to mend."}

- `page.html`: the same for the student, with what failed and why; a page that needs no network
- `results.json`: the same for Gradescope
- `times.json`: measured seconds and bytes, the submission's and our own code's: the only file that differs in a second run
"""


def as_text(rubric: Rubric, marks: Marks) -> str:
    """For a terminal: a line for each check, and under those that failed why, and a hint."""
    width = max(len(mark.name) for mark in marks.marks)
    lines = []
    for mark in marks.marks:
        lines.append(f"{mark.name:<{width}}  {mark.points:>5g} of {mark.entry.points:<3g}  {mark.entry.title}")
        if failed := words(mark):
            lines += [f"{'':<{width}}  {line}" for line in [*failed, f"hint: {mark.entry.hint}"]]
    return "\n".join([*lines, headline(rubric, marks)]) + "\n"
