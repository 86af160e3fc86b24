"""A claim of a finished run, with its artifacts: claim.yaml as `snakemake claim` writes it, and the run's results/ beside it.

Whether it holds is for `python -m workflow.claims check` to say, which runs nothing of the submission.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

from stages.lm.grading.case import Case
from stages.lm.grading.rubric import Check
from stages.lm.grading.submission import legible
from stages.lm.provenance import ROOT

SECONDS = 120


def claimed(submission: Path, _rng: random.Random, _entry: Check) -> list[Case]:
    """Whether what is claimed is what the artifacts hold."""
    name = "claim.yaml"
    if not (submission / name).is_file():
        return [Case(name, "there is no claim.yaml; `snakemake claim` writes one of a finished run")]
    command = [sys.executable, "-P", "-m", "workflow.claims", "check", name]  # -P: nothing is imported from the submission
    try:
        done = subprocess.run(
            command, cwd=submission, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, errors="replace",
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [Case(name, f"could not be checked within {SECONDS} s")]
    if done.returncode == 0:
        return [Case(name)]
    said = (done.stdout if done.returncode == 1 else done.stderr).strip().rpartition("\n")[2]
    return [Case(name, legible(said.rpartition("; ")[2] if done.returncode == 1 else said))]
