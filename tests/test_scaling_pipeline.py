"""A whole scaling study as jobs of the DAG: rounds, a kill between them, and nothing to do the second time.

The trainings at the budgets are made up, after a law, so that what they predict is known; the one that tests it is real.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.lm import artifacts
from stages.lm.artifacts import Artifact
from stages.lm.scaling.runs import grid
from stages.lm.studies.scaling_laws import Parametric
from tests.pipeline import Project
from workflow.config import Config
from workflow.plan import build
from workflow.reading import load

pytestmark = pytest.mark.slow

CONFIG = "tests/configs/scaling.yaml"
LAW = Parametric(0.5, 22.0, 60.0, 0.5, 0.5)
"""Its best size is 0.367 times the root of C / 6."""


def make_up_trainings(config: Config, results: Path) -> None:
    """The trials of the first round, with losses of the law: the outcome of no training."""
    for run, node in zip(grid(config.scalings["laws"]), build(config).stage("trial"), strict=True):
        tokens = artifacts.read(results / node.inputs["tokens"].id, "tokenize")
        with artifacts.writing(results / node.id, "trial", node.settings, {"tokens": tokens}, node.modules) as draft:
            loss = LAW.loss(run.size, run.tokens)
            draft.write_json("stats.json", {"state": "finished", "last": {"validation_loss": loss}, "flops": run.compute})
            draft.write_json("timing.json", {"seconds": 1.0})


def kill_when(project: Project, is_time: Callable[[], bool]) -> None:
    """Start the study, and end Snakemake and all its jobs at a moment."""
    command = [sys.executable, "-m", "snakemake", "--nolock", "--cores", "2", "scaling", "--configfile", CONFIG]
    process = subprocess.Popen(
        command, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and not is_time():
        time.sleep(0.1)
    assert process.poll() is None, "it ended before the moment came"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_study_predicts_a_training_makes_it_and_says_how_far_it_was_off(tmp_path: Path, root: Path) -> None:
    project, config = Project(tmp_path / "scaling"), load(root / CONFIG)
    results = project.folder / "results"
    project.snakemake("--nolock", "tokenize", config=CONFIG)
    make_up_trainings(config, results)
    kill_when(project, lambda: any(results.glob("scaling/*/manifest.json")))
    project.snakemake("--nolock", "--rerun-incomplete", "scaling", config=CONFIG)

    first, last = sorted((artifacts.read(folder, "scaling") for folder in results.glob("scaling/*")), key=trials)
    assert (trials(first), trials(last)) == (9, 10)
    assert (len(first.json("next.json")), last.json("next.json")) == (1, [])
    stats = last.json("stats.json")
    size, tokens = LAW.optimal(config.scalings["laws"].predict)
    assert stats["prediction"]["parameters"] == pytest.approx(size, rel=0.2)
    assert stats["prediction"]["value"] == pytest.approx(LAW.loss(size, tokens), rel=0.02)
    (metrics,) = results.glob("trial/*/metrics.jsonl")  # of the only real one
    measured = json.loads(metrics.read_text().splitlines()[-1])["validation_loss"]
    assert stats["outcome"]["loss"] == measured
    assert stats["outcome"]["error"] == pytest.approx(measured - stats["prediction"]["value"])
    assert stats["runs"][-1]["steps"] == json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert 0 < stats["floor"] < stats["outcome"]["loss"]
    done = project.snakemake("--nolock", "scaling", config=CONFIG)
    assert "Nothing to be done" in done.stdout + done.stderr


def trials(study: Artifact) -> int:
    return len(study.settings["trials"])
