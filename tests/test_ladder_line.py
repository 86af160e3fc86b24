"""Every family of language models, and the studies of models, through the real DAG: one config, one report."""

import json
import math
from pathlib import Path

import pytest

from tests.pipeline import Project

pytestmark = pytest.mark.slow

LEARNED = ("rnn", "lstm", "gru", "gpt", "gpt-2017")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("ladder"))
    project.snakemake(config="tests/configs/ladder.yaml")
    return project


def only(project: Project, pattern: str) -> Path:
    (path,) = project.folder.glob(f"results/{pattern}")
    return path


@pytest.mark.parametrize("name", LEARNED)
def test_what_learns_by_gradient_descent_learns(project: Project, name: str) -> None:
    (metrics,) = (path for path in project.folder.glob(f"results/train/{name}-*/metrics.jsonl") if is_of(path, name))
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    losses = [record["validation_loss"] for record in records if "validation_loss" in record]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["trigram", "mle", *LEARNED])
def test_every_rung_writes(project: Project, name: str) -> None:
    (samples,) = (path for path in project.folder.glob(f"results/decode/{name}-*/samples.jsonl") if is_of(path, name))
    assert samples.read_text().strip()


def is_of(path: Path, name: str) -> bool:
    """Whether an artifact's file belongs to the experiment of exactly this name."""
    return path.parent.name.rpartition("-")[0] == name


def test_all_stand_in_one_table(project: Project) -> None:
    rows = {row["experiment"]: row for row in json.loads(only(project, "report/*/table.json").read_text())}
    assert set(rows) == {"trigram", "mle", *LEARNED}
    assert math.isinf(rows["mle"]["bits_per_byte"])
    assert all(rows[name]["bits_per_byte"] < 8 for name in rows if name != "mle")
    assert all(rows[name]["training_flops"] > 0 for name in LEARNED)
    assert rows["trigram"]["training_flops"] is None


def test_the_page_shows_the_ladder_the_ablation_and_the_studies(project: Project) -> None:
    page = only(project, "report/*/report.html").read_text()
    assert "Bits per byte by parameters, training operations (FLOP), training time (seconds)" in page
    assert "no finite number of bits is enough for them: mle" in page
    assert "by step, operations, training time" in page
    assert "Variants of gpt, in the order of the config" in page
    assert "<code>norm_position: post</code>" in page
    assert "Norm of the gradient by the number of steps back, for rnn, lstm, gru" in page
    assert "decoding time without cache" in page
