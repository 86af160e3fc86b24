"""HTML for people: a page for a student, and the table of a class."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from stages.lm.grading.code_report import CodeReport
from stages.lm.grading.marking import Marks
from stages.lm.grading.results import headline, words
from stages.lm.grading.rubric import Rubric
from stages.lm.pages import rendered

TEMPLATES = Path(__file__).parent / "templates"


def student_page(name: str, rubric: Rubric, marks: Marks, report: CodeReport) -> str:
    """What a submission earned, what failed and why. The same marks give the same bytes."""
    parts = [(part, list(group)) for part, group in groupby(marks.marks, key=lambda mark: mark.entry.part)]
    context = {
        "name": name,
        "rubric": rubric,
        "headline": headline(rubric, marks),
        "marks": marks,
        "failed": [(mark, words(mark)) for mark in marks.marks if mark.share < 1],
        "parts": parts,
        "code": report.sentences(),
    }
    return rendered(TEMPLATES / "student.html.j2", context)


def class_page(title: str, columns: Mapping[str, float], rows: Sequence[Mapping[str, Any]]) -> str:
    """A row for each submission: name, address of its page, points in all and by part; `columns` says how many could be."""
    return rendered(TEMPLATES / "class.html.j2", {"title": title, "columns": columns, "rows": rows})
