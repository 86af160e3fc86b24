"""The stage report as it is run."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.lm import artifacts
from tests.lm.reporting.workshop import Workshop
from tests.stage_runs import ROOT


def report(
    workshop: Workshop, out: Path, experiments: dict[str, dict[str, str]], given: list[Path] | None = None
) -> tuple[int, str]:
    folders = [artifact.path for artifact in workshop.made.values()] if given is None else given
    options = [part for folder in folders for part in ("--artifact", str(folder))]
    result = subprocess.run(
        [sys.executable, "-m", "stages.report", "--config", "-", "--out", str(out), *options],
        input=yaml.safe_dump({"title": "Stories", "experiments": experiments}),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    return result.returncode, result.stderr


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "results")


def test_a_report_is_a_function_of_its_artifacts_and_ends_with_the_table(workshop: Workshop) -> None:
    experiments = workshop.standard()
    out = workshop.folder / "report" / "stories"
    code, said = report(workshop, out, experiments)
    assert code == 0, said
    artifact = artifacts.read(out, "report")
    assert {"report.html", "table.txt", "table.csv", "table.json", "stats.json", "README.md"} <= artifact.manifest[
        "outputs"
    ].keys()
    table = artifact.file("table.txt").read_text(encoding="utf-8")
    assert said.rstrip().endswith(f"{table}\n{out / 'report.html'}")
    assert set(artifact.manifest["inputs"]) == set(workshop.made)
    errors = {row["quantity"]: row["error_percent"] for row in artifact.json("reconciliation.json")["gpt"]}
    assert errors["training time"] == pytest.approx(100 * (50 / 60 - 1))
    (row,) = [row for row in artifact.json("table.json") if row["experiment"] == "gpt"]
    assert row["estimate_error_percent"]["training time"] == errors["training time"]
    first = {file.name: file.read_bytes() for file in out.iterdir() if file.name != "manifest.json"}
    assert report(workshop, out, experiments)[0] == 0
    assert first == {file.name: file.read_bytes() for file in out.iterdir() if file.name != "manifest.json"}


def test_what_is_missing_or_damaged_is_named(workshop: Workshop) -> None:
    experiments = workshop.standard()
    out = workshop.folder / "report" / "stories"
    code, said = report(workshop, out, experiments, given=[])
    assert (code, "is not among the artifacts given" in said) == (2, True)
    damaged = workshop.made[experiments["gpt"]["evaluate"]].path
    (damaged / "losses.npy").write_bytes(b"")
    code, said = report(workshop, out, experiments)
    assert code == 2
    assert f"{damaged}: is damaged" in said
    assert not out.exists()
