"""Trainings with several processes as jobs of the DAG, on this machine."""

from pathlib import Path

import pytest
import yaml

from stages.lm import artifacts
from tests.pipeline import TINY, Project

pytestmark = pytest.mark.slow


def test_a_config_asks_for_processes_and_their_engine(tmp_path: Path) -> None:
    """A model trained by counting takes one process whatever is asked for."""
    project = Project(tmp_path / "project")
    config = yaml.safe_load((project.folder / TINY).read_text())
    del config["studies"]
    config["execution"] = {"engine": "fsdp", "jobs": {"train": {"processes": 2}}}
    config["experiments"]["gpt"]["training"]["threads"] = 1
    (project.folder / "two.yaml").write_text(yaml.safe_dump(config))
    project.snakemake("--", "train", config="two.yaml")
    (gpt,) = project.folder.glob("results/train/gpt-*")
    assert artifacts.read(gpt, "train").json("timing.json")["processes"] == 2
    (trigram,) = project.folder.glob("results/train/trigram-*")
    assert artifacts.read(trigram, "train").json("timing.json")["processes"] == 1
    (log,) = project.folder.glob("logs/train/gpt-*.log")
    assert log.read_text().count("step 30 of 30") == 1  # the second process says nothing
