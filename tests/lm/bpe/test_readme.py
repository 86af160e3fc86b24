"""The page about tokenizers: its examples give what they show, its commands can be planned, its table has its place."""

import doctest
import re
from pathlib import Path

import pytest

from tests.benchmarks.markers import replaced
from tests.pipeline import Project

PAGE = "stages/lm/bpe/README.md"


def test_the_examples_give_what_they_show(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    found = doctest.testfile(str(root / PAGE), module_relative=False, encoding="utf-8")
    assert found.attempted == 10
    assert found.failed == 0


def test_the_benchmark_has_its_place(root: Path) -> None:
    assert "| task |" in replaced((root / PAGE).read_text(encoding="utf-8"), "bpe", "| task | text |")


@pytest.mark.slow
def test_the_command_is_planned(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (command,) = re.findall(r"^    (snakemake .*)$", (project.folder / PAGE).read_text(encoding="utf-8"), re.MULTILINE)
    done = project.run(*command.split(), "-n")
    assert re.search(r"^make_study +1$", done.stdout + done.stderr, re.MULTILINE)
