"""From a submission and a rubric to its marks."""

import errno
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import torch

from stages.lm import script
from stages.lm.errors import UserError
from stages.lm.grading.case import Case
from stages.lm.grading.examinee import examined
from stages.lm.grading.marking import Mark, Marks, mark
from stages.lm.grading.rubric import Rubric
from stages.lm.grading.submission import too_large


def examine(submission: Path, rubric: Rubric, seed: int, watch: Callable[[str], None] = lambda _: None) -> Marks:
    """Mark a submission by a rubric, with the hidden inputs of a seed.

    One that meets a mistake of the grader gets no marks and the error in their place, so that the others are graded all the same.
    Raises UserError for limits with which nothing starts, and OSError for a full disk: these are no fault of the submission.
    """
    if (fault := too_large(submission, rubric.limits.submission_mb)) is not None:
        return nothing(rubric, f"the submission {fault}")
    try:
        return _examine(submission, rubric, seed, watch)
    except Exception as error:
        if isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
            raise
        script.log.exception("%s: could not be graded", submission)
        return nothing(rubric, f"the submission could not be graded: {type(error).__name__}; the log of its grading says more")


def nothing(rubric: Rubric, fault: str) -> Marks:
    """No points, and why."""
    return Marks([Mark(name, entry, [Case(name, fault)]) for name, entry in rubric.checks.items()], unusable=fault)


def _examine(submission: Path, rubric: Rubric, seed: int, watch: Callable[[str], None]) -> Marks:
    torch.set_num_threads(1)  # as the submission has it
    with (
        examined(submission, rubric.limits, rubric.module) as examinee,
        tempfile.TemporaryDirectory() as own,
        chdir(own),  # where our own code writes its files
    ):
        return mark(rubric, seed, examinee, watch)
