"""Whole runs of the DAG: complete, repeatable, and rerun exactly as far as a change reaches."""

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stages.lm import artifacts
from tests.pipeline import TINY, Project

pytestmark = pytest.mark.slow

AFTER_TRAINING = {"train", "evaluate", "decode", "export", "report"}
NOT_OF_THIS_RUN = {"trial", "sweep", "scaling", "grade"}


@pytest.fixture
def changing(finished: Project) -> Iterator[Project]:
    """The finished run, with every file of the code as it was after the test."""
    before = {path: path.read_bytes() for pattern in ("stages/**/*.py", TINY) for path in finished.folder.glob(pattern)}
    yield finished
    for path, content in before.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def test_every_artifact_is_whole_and_in_the_folder_of_its_digest(finished: Project) -> None:
    folders = artifacts.find([finished.folder / "results"])
    assert {folder.parent.name for folder in folders} == set(artifacts.FORMATS) - NOT_OF_THIS_RUN
    for folder in folders:
        assert artifacts.verify(folder) == []
        assert folder.name.endswith(f"-{artifacts.load_manifest(folder)['digest']}")
        assert {"config.yaml", "stats.json", "README.md"} <= {file.name for file in folder.iterdir()}


def test_manifests_lead_back_to_the_corpus(finished: Project) -> None:
    (report,) = finished.folder.glob("results/report/*/manifest.json")
    waiting, seen = [report.parent], set()
    while waiting:
        folder = waiting.pop()
        seen.add(folder.parent.name)
        for reference in artifacts.load_manifest(folder)["inputs"].values():
            below = finished.folder / "results" / reference["id"]
            assert artifacts.sha256(below / "manifest.json") == reference["manifest"]
            waiting.append(below)
    assert seen == set(artifacts.FORMATS) - NOT_OF_THIS_RUN


def test_the_gpt_learns_and_the_report_shows_both_models(finished: Project) -> None:
    (table,) = finished.folder.glob("results/report/*/table.json")
    text = table.read_text()
    assert "gpt" in text
    assert "trigram" in text
    (metrics,) = finished.folder.glob("results/train/gpt-*/metrics.jsonl")
    losses = [line["loss"] for line in map(json.loads, metrics.read_text().splitlines()) if "loss" in line]
    assert losses[-1] < losses[0] - 0.5


def test_estimates_end_with_a_table_of_all_experiments(finished: Project) -> None:
    lines = finished.snakemake("--", "estimate").stdout.splitlines()
    columns = ["experiment", "parameters", "training FLOPs", "peak memory", "tokens/s", "time"]
    start = next(number for number, line in enumerate(lines) if line.split("  ")[0] == "experiment")
    assert [column.strip() for column in lines[start].split("  ") if column.strip()] == columns
    assert [line.split()[0] for line in lines[start + 2 :]] == ["trigram", "gpt"]


def test_what_does_not_fit_ends_the_run_before_it_starts(finished: Project) -> None:
    done = finished.snakemake("--config", "execution={fits: 1MB}", check=False)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "at its peak, more than the 1.00 MB of fits; " in line


def test_a_second_run_has_nothing_to_do(finished: Project) -> None:
    done = finished.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_training_setting_reruns_training_and_what_follows(changing: Project) -> None:
    changing.replace(TINY, "steps: 30", "steps: 31")
    assert changing.would_run() == AFTER_TRAINING | {"estimate"}


def test_a_comment_reruns_nothing(changing: Project) -> None:
    for file in (
        "stages/lm/inference/sampling.py",
        "stages/lm/models/layers.py",
        "stages/train.py",
        "stages/lm/bpe/tokenizer.py",
    ):
        path = changing.folder / file
        path.write_text("# A remark.\n" + path.read_text() + "\n# Another.\n")
    assert changing.would_run() == set()


def test_code_of_decoding_reruns_decoding_and_the_report(changing: Project) -> None:
    path = changing.folder / "stages/lm/inference/sampling.py"
    path.write_text(path.read_text() + "\nNEW = 1\n")
    assert changing.would_run() == {"decode", "report"}


def test_code_of_one_family_reruns_that_family_alone(changing: Project) -> None:
    path = changing.folder / "stages/lm/models/ngram/model.py"
    path.write_text(path.read_text() + "\nNEW = 1\n")
    done = changing.snakemake("-n")
    assert "trigram-" in done.stdout
    assert "wildcards: folder=gpt-" not in done.stdout


def test_a_damaged_artifact_is_noticed_and_made_again(finished: Project) -> None:
    (samples,) = finished.folder.glob("results/decode/gpt-*/samples.jsonl")
    before = finished.contents()
    samples.write_text("half")
    assert "decode" in finished.would_run()
    finished.snakemake()
    assert finished.contents() == before
    assert samples.read_text() != "half"


def test_two_runs_agree_in_every_byte(finished: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    other.run("snakemake", "--cores", "1", "--configfile", TINY)
    assert other.contents() == finished.contents()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_again_and_again_ends_with_the_same_bytes(finished: Project, tmp_path: Path, seed: int) -> None:
    """`make run` is killed with everything that it started, at random moments, and run again until it ends."""
    chance = random.Random(seed)
    project = Project(tmp_path / "killed")
    command = ["make", "-o", ".venv/installed", "run", f"CONFIG={TINY}", "CORES=2"]
    for _ in range(6):
        process = subprocess.Popen(
            command, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        with suppress(subprocess.TimeoutExpired):
            assert process.wait(timeout=chance.uniform(3, 25)) == 0
            break  # it has ended by itself: nothing is left to be killed
        kill_group(process)
        for folder in artifacts.find([project.folder / "results"]):
            if (folder / artifacts.MANIFEST).exists():
                assert artifacts.verify(folder) == []
    done = project.run(*command)
    assert project.contents() == finished.contents()
    assert done.stdout.rstrip().endswith("report.html")


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
