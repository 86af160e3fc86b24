"""A trial under `wandb agent`, as far as it goes without a server: its environment is set as the agent sets it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.lm.errors import UserError
from tests.pipeline import TINY, Project
from workflow.agent import training
from workflow.plan import build
from workflow.reading import load

SWEEP = {"method": "grid", "parameters": {"training": {"parameters": {"learning_rate": {"values": [0.01, 0.004]}}}}}


@pytest.fixture
def swept(finished: Project, tmp_path: Path) -> Project:
    """The finished tiny run's tokens, and a config with a sweep."""
    project = finished.copy(tmp_path / "project", "tokenize")
    config = yaml.safe_load((project.folder / TINY).read_text())
    config["sweeps"] = {"rates": {"experiment": "gpt", "file": "rates.yaml"}}
    (project.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (project.folder / "rates.yaml").write_text(yaml.safe_dump(SWEEP))
    return project


def agent(project: Project, run: str, values: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the agent starts for a run."""
    file = project.folder / "wandb" / "sweep-s" / f"config-{run}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"wandb_version": 1, **{name: {"value": value} for name, value in values.items()}}))
    names = {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": run, "WANDB_SWEEP_PARAM_PATH": str(file)}
    command = ["python", "-m", "workflow.agent", "--configfile", "config.yaml", "--sweep", "rates", *arguments]
    return project.run(*command, check=False, **names)


def logged(project: Project, run: str) -> dict[str, Any]:
    """The last values that a run without a server has written."""
    (folder,) = project.folder.glob(f"wandb/offline-run-*-{run}")
    shown = json.loads(project.run("wandb", "leet", "inspect", "--summary", "--json", str(folder)).stdout)
    return dict(shown["summary"])


@pytest.mark.slow
def test_a_trial_is_the_training_that_the_dag_would_make(swept: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    done = agent(swept, "first", {"training": {"learning_rate": 0.004}})
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(swept.folder)
    plan = build(load("config.yaml"))
    planned = {trial.settings["training"]["learning_rate"]: trial.train for trial in plan.stage("trial")}[0.004]
    assert planned
    stats = json.loads((swept.folder / "results" / planned.id / "stats.json").read_text())
    assert logged(swept, "first")["validation_loss"] == pytest.approx(stats["validation_loss"])

    made = (swept.folder / "results" / planned.id / "manifest.json").stat().st_mtime_ns
    again = agent(swept, "second", {"training.learning_rate": 0.004})
    assert again.returncode == 0, again.stderr
    assert (swept.folder / "results" / planned.id / "manifest.json").stat().st_mtime_ns == made
    assert logged(swept, "second")["validation_loss"] == logged(swept, "first")["validation_loss"]

    refused = agent(swept, "third", {"training.learning_rat": 0.004})
    assert refused.returncode == 2
    assert "learning_rat" in refused.stderr


def test_without_an_agent_there_is_nothing_to_try(root: Path) -> None:
    done = Project.at(root).run("python", "-m", "workflow.agent", "--configfile", TINY, "--sweep", "rates", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: agent: `wandb agent` starts this command")


def test_tokens_have_to_be_there(swept: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(swept.folder)
    config = load("config.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is not made yet; run `snakemake tokenize"):
        training(config, "rates", {})
