"""The trial stage: what it records of trainings that end, pause, diverge, or fail."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.lm import artifacts
from stages.lm.errors import INSTALL
from tests.counting_tokens import write_tokens
from tests.stage_runs import ROOT

SETTINGS: dict[str, Any] = {
    "model": {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 16},
    "training": {"steps": 40, "batch_size": 2, "learning_rate": 1e-2, "validate_every": 10, "threads": 1, "device": "cpu"},
}
TRAIN = ["-m", "stages.train"]


class Trials:
    """Runs the stage in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tokens = folder, write_tokens(folder / "tokens")

    def run(self, name: str, *launch: str, code: int = 0, **changes: Any) -> dict[str, Any]:
        """What trial `name` of the training of the same name up to its first digit records."""
        settings = SETTINGS | {
            key: SETTINGS.get(key, {}) | value if isinstance(value, dict) else value for key, value in changes.items()
        }
        train = self.folder / "train" / name.rstrip("0123456789")
        command = [sys.executable, "-m", "stages.trial", "--config", "-", "--tokens", str(self.tokens), "--train", str(train)]
        command += ["--out", str(self.folder / name), "--", sys.executable, *(launch or TRAIN)]
        done = subprocess.run(
            command, input=yaml.safe_dump(settings), cwd=self.folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return dict(artifacts.read(self.folder / name, "trial").json("stats.json")) if not code else {}

    def steps_taken(self, name: str) -> list[int]:
        text = (self.folder / name / "metrics.jsonl").read_text()
        return [json.loads(line)["step"] for line in text.splitlines() if "validation_loss" in line]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    return Trials(tmp_path_factory.mktemp("trials"))


@pytest.mark.slow
def test_a_trial_goes_on_from_its_rung_and_ends_with_the_bytes_of_one_training(trials: Trials) -> None:
    paused = trials.run("rung1", until=20)
    assert (paused["state"], paused["until"], paused["steps"]) == ("paused", 20, 20)
    assert trials.steps_taken("rung1") == [10, 20]
    assert list(trials.folder.glob("state/train/rung/step-000000020"))
    ended = trials.run("rung2")
    assert (ended["state"], ended["steps"]) == ("finished", 40)
    assert not list(trials.folder.glob("state/train/rung"))
    trials.run("straight")
    content = [artifacts.read(trials.folder / "train" / name, "train").manifest["content"] for name in ("rung", "straight")]
    assert content[0] == content[1]
    again = trials.run("rung3", "-c", "raise SystemExit('what is trained is not trained again')", until=20)
    assert again == paused


@pytest.mark.slow
def test_a_diverged_training_is_a_result(trials: Trials) -> None:
    outcome = trials.run("wild", training={"learning_rate": 1e30})
    assert outcome["state"] == "diverged"


def test_a_failed_training_is_recorded_with_its_last_words(trials: Trials) -> None:
    outcome = trials.run("broken", "-c", "import sys; sys.exit('error: the disk has gone')")
    assert (outcome["state"], outcome["message"], outcome["steps"]) == ("failed", "the disk has gone", 0)


@pytest.mark.parametrize(
    ("lacks", "fault"),
    [
        ("disk", "x: No space left on device; free some space, or put results/ on another disk"),
        ("package", f"model.family: huggingface needs the package transformers; {INSTALL}"),
    ],
)
def test_what_the_machine_lacks_is_no_failure_of_the_trial(lacks: str, fault: str, trials: Trials) -> None:
    words = f"error: train: {fault}"
    trials.run(lacks, "-c", f"import sys; sys.stderr.write({words!r}); sys.exit(2)", code=2)
    assert not (trials.folder / lacks / "manifest.json").exists()
    assert trials.run(lacks)["state"] == "finished"


def test_a_killed_training_is_recorded(trials: Trials) -> None:
    outcome = trials.run("killed", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert (outcome["state"], outcome["message"]) == ("failed", "ended by SIGKILL")


def test_a_stopped_training_is_no_outcome(trials: Trials) -> None:
    trials.run("stopped", "-c", "import sys; sys.exit(75)", code=75)
    assert not (trials.folder / "stopped" / "manifest.json").exists()
