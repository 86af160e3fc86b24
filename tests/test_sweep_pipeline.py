"""Whole sweeps as jobs of the DAG: rounds, failures, kills, and nothing to do the second time."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import Project

pytestmark = pytest.mark.slow

CONFIG = "tests/configs/sweeps.yaml"


def last_round(project: Project, name: str) -> dict[str, Any]:
    """The table of the sweep's last artifact."""
    folders = project.folder.glob(f"results/sweep/{name}-*")
    (last,) = [folder for folder in folders if json.loads((folder / "next.json").read_text()) == []]
    return table_of(last)


def table_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "stats.json").read_text()))


def test_sweeps_run_in_rounds_survive_kills_and_end(tmp_path: Path) -> None:
    project = Project(tmp_path / "sweeps")
    for seconds in (25, 15):  # killed twice on the way
        command = [sys.executable, "-m", "snakemake", "--nolock", "--rerun-incomplete", "--cores", "2", "--configfile", CONFIG]
        process = subprocess.Popen(
            command, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    project.snakemake("--nolock", "--rerun-incomplete", config=CONFIG)

    halving = last_round(project, "halving")
    states = {row["parameters"]["training.learning_rate"]: (row["state"], row["steps"]) for row in halving["trials"]}
    assert states[1e30][0] == "diverged"
    assert sorted(state for state, _ in states.values()) == ["diverged", "finished", "stopped", "stopped"]
    best = halving["trials"][halving["best"]]
    assert (best["state"], best["steps"], best["parameters"]["training.learning_rate"]) == ("finished", 30, 0.01)
    # the best trial is the experiment gpt: it was trained as that, and nowhere else
    assert len(list(project.folder.glob("results/train/gpt-*/manifest.json"))) == 1 + len(last_round(project, "bayes")["trials"])

    bayes = last_round(project, "bayes")
    assert [row["state"] for row in bayes["trials"]] == ["finished"] * 4
    assert len(list(project.folder.glob("results/sweep/bayes-*"))) == 2
    (page,) = project.folder.glob("results/report/*/report.html")
    assert "experiments:\n  gpt-best:" in page.read_text()

    done = project.snakemake(config=CONFIG)
    assert "Nothing to be done" in done.stdout + done.stderr

    # a trial that is to be tried again: the sweep goes on from there, to the same table
    first = min(
        project.folder.glob("results/sweep/halving-*"), key=lambda folder: sum(row["steps"] for row in table_of(folder)["trials"])
    )
    again = json.loads((first / "manifest.json").read_text())["inputs"]
    shutil.rmtree(project.folder / "results" / next(iter(again.values()))["id"])
    project.snakemake(config=CONFIG)
    assert last_round(project, "halving") == halving
    done = project.snakemake(config=CONFIG)
    assert "Nothing to be done" in done.stdout + done.stderr
