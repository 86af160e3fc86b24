"""From a submission and a rubric to its marks."""

import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import torch

from stages.lm.grading.case import Case
from stages.lm.grading.examinee import examined
from stages.lm.grading.marking import Mark, Marks, mark
from stages.lm.grading.rubric import Rubric
from stages.lm.grading.submission import too_large


def examine(submission: Path, rubric: Rubric, seed: int, watch: Callable[[str], None] = lambda _: None) -> Marks:
    """Mark a submission by a rubric, with the hidden inputs of a seed."""
    torch.set_num_threads(1)  # as the submission has it
    fault = too_large(submission, rubric.limits.submission_mb)
    if fault is not None:
        marks = [Mark(name, entry, [Case(name, f"the submission {fault}")]) for name, entry in rubric.checks.items()]
        return Marks(marks, unusable=f"The submission {fault}.")
    with (
        examined(submission, rubric.limits, rubric.module) as examinee,
        tempfile.TemporaryDirectory() as own,
        chdir(own),  # where our own code writes its files
    ):
        return mark(rubric, seed, examinee, watch)
