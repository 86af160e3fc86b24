"""The benchmark that the page beside the code names, at a size that takes seconds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_benchmark_measures_every_kernel_and_every_cache(root: Path) -> None:
    page = (root / "stages/lm/models/attention/README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^    python (\S+)", page, re.MULTILINE)
    options = ["--lengths", "160", "--rounds", "1", "--threads", "1"]
    done = subprocess.run([sys.executable, command, *options], cwd=root, capture_output=True, text=True, check=True)
    rows = [line for line in done.stdout.splitlines() if re.search(r"\d\.\d\d \(", line)]
    for name in ("full, reference", "full, flash", "full, sdpa", "strided by 32", "linear, chunked"):
        assert sum(row.startswith(name) for row in rows) == 1
    sizes = {row.split("  ")[0]: float(row.split()[-2]) for row in rows if row.endswith("MB")}
    assert sizes["full"] == pytest.approx(4 * sizes["multi-query"], rel=0.01)
    assert sizes["sliding window"] == pytest.approx(sizes["full"] * 128 / 160, rel=0.01)


def test_the_page_names_files_that_exist(root: Path) -> None:
    folder = root / "stages/lm/models/attention"
    names = re.findall(r"\]\((\w+\.py)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert set(names) == {file.name for file in folder.glob("*.py")} - {"__init__.py"}
