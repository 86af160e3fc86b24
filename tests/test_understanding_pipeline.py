"""Models that predict no next token through the whole line: BERT and word vectors."""

import json
from pathlib import Path

import pytest

from stages.lm import artifacts
from tests.pipeline import Project

CONFIG = "tests/configs/understanding.yaml"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def understood(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("understanding"))
    project.snakemake(config=CONFIG)
    return project


def only(project: Project, stage: str, name: str) -> Path:
    (folder,) = project.folder.glob(f"results/{stage}/{name}-*")
    assert artifacts.verify(folder) == []
    return folder


def test_each_is_measured_by_what_it_is_for(understood: Project) -> None:
    stats = {
        name: json.loads((only(understood, "evaluate", name) / "stats.json").read_text()) for name in ("bert", "cbow", "skipgram")
    }
    assert stats["bert"]["pseudo_perplexity"]["value"] < 320  # of as many tokens, equally probable ones
    assert 0 <= stats["bert"]["classification"]["pretrained"] <= 1
    for name in ("cbow", "skipgram"):
        assert stats[name]["nats_per_prediction"] < 4.1589  # 6 ln 2: what vectors of zeros cost
        assert stats[name]["analogies"][0]["expected"] == "he"


def test_blanks_and_neighbours_are_shown(understood: Project) -> None:
    (line,) = (only(understood, "decode", "bert") / "samples.jsonl").read_text().splitlines()
    blanks = json.loads(line)["blanks"]
    assert [len(blank) for blank in blanks] == [5, 5]
    assert "- pseudo-perplexity: " in (only(understood, "export", "bert") / "README.md").read_text()
    near = json.loads((only(understood, "decode", "cbow") / "neighbours.json").read_text())
    assert [len(one["neighbours"]) for one in near] == [3] * 4
    report = only(understood, "report", "understanding")
    page, table = (report / "report.html").read_text(), (report / "table.txt").read_text()
    for shown in ("Filling in blanks", "It is no perplexity", "Word vectors in two dimensions", "nats per hidden token"):
        assert shown in page
    assert "pseudo-perplexity" in table
    assert "bits per byte" not in table


def test_settings_of_another_task_are_refused(understood: Project, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text((understood.folder / CONFIG).read_text().replace("    masked:", "    vectors: {words: 3}\n    masked:"))
    done = understood.snakemake("-n", config=str(bad), check=False)
    assert done.returncode == 2
    assert "experiments.bert.vectors: means nothing to the family bert; its settings are under masked" in done.stderr
