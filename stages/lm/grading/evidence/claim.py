"""A claim of a finished run, with its artifacts: claim.yaml as `snakemake claim` writes it, and the run's results/ beside it.

Whether it holds is for `python -m workflow.claims audit` to say: every claimed model is measured again, variants aside, since
nothing of the submission runs here. No training is taken again.
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

SECONDS = 250


def claimed(submission: Path, _rng: random.Random, _entry: Check) -> list[Case]:
    """Whether what is claimed is what the artifacts hold, and what their models reach."""
    name = "claim.yaml"
    if not (submission / name).is_file():
        return [Case(name, "there is no claim.yaml; `snakemake claim` writes one of a finished run")]
    command = [sys.executable, "-m", "workflow.claims", "audit", name, "--stretches", "0", "--no-variants"]
    own = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}  # nothing is imported from the submission, by stages neither
    try:
        done = subprocess.run(
            command, cwd=submission, env=os.environ | own, capture_output=True, text=True, errors="replace", timeout=SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [Case(name, f"could not be checked within {SECONDS} s")]
    if done.returncode == 0:
        return [Case(name)]
    said = (done.stdout if done.returncode == 1 else done.stderr).strip().rpartition("\n")[2]
    return [Case(name, legible(said.rpartition("; ")[2] if done.returncode == 1 else said))]
