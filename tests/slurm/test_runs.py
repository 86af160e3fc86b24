"""Whole runs of the DAG through a real Slurm come to the same bytes as on one machine."""

from pathlib import Path

import pytest
import yaml

from tests.pipeline import TINY, Project
from tests.slurm.line import IMPATIENT, SLURM

pytestmark = [pytest.mark.slow, pytest.mark.long_on_slurm, pytest.mark.usefixtures("cluster")]

JOBS = {"all": {"account": "test", "memory_mb": 1500, "minutes": 30, "cpus": 1}}


def through_slurm(folder: Path, config: str, *targets: str) -> Project:
    project = Project(folder)
    (folder / "site.yaml").write_text(yaml.safe_dump({"execution": {"jobs": JOBS}}))
    project.run("snakemake", *targets, *SLURM, *IMPATIENT, "--configfile", config, "site.yaml")
    return project


def test_a_small_line_from_corpus_to_report(finished: Project, tmp_path: Path) -> None:
    assert through_slurm(tmp_path / "slurm", TINY).contents() == finished.contents()


def test_twenty_trainings_at_one_time(tmp_path: Path) -> None:
    whole = yaml.safe_load(Path(TINY).read_text())
    config = {key: whole[key] for key in ("name", "corpora", "tokenizers", "experiments")}
    gpt = config["experiments"]["trigram"] | config["experiments"].pop("gpt")
    del gpt["extends"]
    config["experiments"] = {f"gpt-{seed}": gpt | {"training": gpt["training"] | {"seed": seed}} for seed in range(20)}
    file = tmp_path / "twenty.yaml"
    file.write_text(yaml.safe_dump(config))
    here = Project(tmp_path / "here")
    here.run("snakemake", "train", "--cores", "2", "--configfile", str(file))
    there = through_slurm(tmp_path / "there", str(file), "train")
    assert len(list(there.folder.glob("results/train/*/manifest.json"))) == 20
    assert there.contents() == here.contents()
