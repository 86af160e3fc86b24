"""The corpus script as a user runs it."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.lm import artifacts
from stages.lm.corpus import store
from stages.lm.corpus.settings import CorpusSettings
from stages.lm.corpus.sources import source_files
from stages.lm.settings import parse


def run(root: Path, out: Path, settings: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stages.corpus", "--config", "-", "--out", str(out), "--downloads", str(out.parent / "d")]
    return subprocess.run(command, cwd=root, input=yaml.safe_dump(settings), capture_output=True, text=True, check=False)


def test_the_artifact_is_whole_and_the_same_every_time(root: Path, tmp_path: Path) -> None:
    settings = {"source": "grammar", "documents": 300, "seed": 4}
    manifests = []
    for name in ("one", "two"):
        done = run(root, tmp_path / name, settings)
        assert done.returncode == 0, done.stderr
        artifact = artifacts.read(tmp_path / name, "corpus")
        manifests.append(artifact.manifest)
    assert manifests[0]["content"] == manifests[1]["content"]
    assert manifests[0]["seed"] == 4
    assert set(manifests[0]["outputs"]) == {
        "README.md", "config.yaml", "stats.json", "test-00000.parquet", "train-00000.parquet", "valid-00000.parquet"
    }  # fmt: skip
    stats = artifact.json("stats.json")
    assert sum(count["documents"] for count in stats["splits"].values()) == 300
    readme = artifact.file("README.md").read_text()
    assert f"{stats['entropy']['bits_per_byte']:.5f} bits per byte" in readme
    assert next(store.documents(artifact.path, "train")).splitlines()[0] in readme
    assert parse(CorpusSettings, artifact.settings, "config.yaml").resolved() == artifact.settings


def test_real_text_by_its_headings(root: Path, tmp_path: Path, shared_data: Path) -> None:
    settings = {
        "source": "file",
        "paths": [f"{shared_data}/wikitext2/part*.txt"],
        "document_start": "^ = [^=].* = $",
    }
    assert [Path(file).name for file in source_files(parse(CorpusSettings, settings, "c"))] == ["part1.txt", "part2.txt"]
    done = run(root, tmp_path / "wiki", settings)
    assert done.returncode == 0, done.stderr
    stats = json.loads((tmp_path / "wiki" / "stats.json").read_text())
    assert stats["steps"][0]["bytes"] == sum(file.stat().st_size for file in (shared_data / "wikitext2").glob("part*.txt"))
    assert stats["steps"][-1]["documents"] == 122
    assert all(count["documents"] > 0 for count in stats["splits"].values())


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a missing file": ({"paths": ["nowhere.txt"]}, "nowhere.txt: no such file"),
    "a binary file": ({"paths": ["program.txt"]}, "program.txt: a byte that is not UTF-8 at byte 4"),
    "a damaged archive": ({"paths": ["half.txt.gz"]}, "half.txt.gz: is not a whole .gz file"),
    "an empty corpus": ({"paths": ["empty.txt"]}, "no document to train on"),
    "an unknown key": ({"paths": ["empty.txt"], "path": "x"}, "path"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_line_and_nothing_written(root: Path, tmp_path: Path, case: str) -> None:
    (tmp_path / "program.txt").write_bytes(b"\x7fELF\x80\x00")
    (tmp_path / "half.txt.gz").write_bytes(gzip.compress(b"text " * 999)[:-5])
    (tmp_path / "empty.txt").write_text("\n")
    settings, message = BAD[case]
    paths = [str(tmp_path / path) for path in settings["paths"]]
    done = run(root, tmp_path / "out", {"source": "file", **settings, "paths": paths})
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else True
