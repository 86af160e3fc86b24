"""The train stage as a process: what it writes, and that no way of ending it changes the result."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import yaml

from stages.lm import artifacts
from tests.counting_tokens import VOCAB, write_tokens

GPT: dict[str, object] = {
    "model": {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 16},
    "training": {"steps": 150, "batch_size": 2, "learning_rate": 1e-2, "validate_every": 40, "threads": 1, "device": "cpu"},
}
MODEL, TRAINING = cast(dict[str, object], GPT["model"]), cast(dict[str, object], GPT["training"])
TRIGRAM: dict[str, object] = {"model": {"family": "ngram", "order": 3}}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("tokens") / "tiny")


class Stage:
    """Runs the stage in a folder, its working directory."""

    def __init__(self, folder: Path, root: Path, tokens: Path) -> None:
        self.folder, self.tokens, self.environment = folder, tokens, os.environ | {"PYTHONPATH": str(root)}

    def command(self, name: str, settings: dict[str, object], *options: str) -> list[str]:
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(settings))
        given = ["--config", f"{name}.yaml", "--tokens", str(self.tokens), "--out", f"results/{name}", *options]
        return [sys.executable, "-m", "stages.train", *given]

    def run(self, name: str, settings: dict[str, object], *options: str, threads: int = 1) -> subprocess.CompletedProcess[str]:
        environment = self.environment | {"OMP_NUM_THREADS": str(threads)}
        return subprocess.run(
            self.command(name, settings, *options), cwd=self.folder, env=environment, capture_output=True, text=True
        )

    def start(self, name: str, settings: dict[str, object], *options: str) -> "subprocess.Popen[bytes]":
        command = self.command(name, settings, *options)
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL)

    def artifact(self, name: str) -> artifacts.Artifact:
        return artifacts.read(self.folder / "results" / name, "train")

    def content(self, name: str) -> str:
        """The hash over all files that the seed determines."""
        return str(self.artifact(name).manifest["content"])


@pytest.fixture
def stage(tmp_path: Path, root: Path, tokens: Path) -> Stage:
    return Stage(tmp_path, root, tokens)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, root: Path, tokens: Path) -> Stage:
    """The run `gpt`, never interrupted."""
    stage = Stage(tmp_path_factory.mktemp("whole"), root, tokens)
    ended = stage.run("gpt", GPT)
    assert ended.returncode == 0, ended.stderr
    return stage


def wait_for_step(state: Path, step: int, process: "subprocess.Popen[bytes]") -> None:
    while not any(int(folder.name.removeprefix("step-")) >= step for folder in state.glob("step-*")):
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.002)


def test_a_transformer_is_trained_and_described(whole: Stage) -> None:
    artifact = whole.artifact("gpt")
    stats = artifact.json("stats.json")
    assert stats["validation_loss"] < 1.5 < np.log(VOCAB)  # the next number is certain but after a document's end
    assert stats["tokens"] == 150 * 2 * 16
    description = artifact.json("model.json")
    assert (description["vocab_size"], description["end_of_text"], description["tokenizer"]) == (VOCAB, 0, "0123456789ab")
    assert artifact.settings["training"]["weight_decay"] == 0.1
    lines = artifact.file("metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]) == {"step": 150, "tokens": 4800, "validation_loss": stats["validation_loss"]}
    clock = [json.loads(line) for line in artifact.file("timing.jsonl").read_text().splitlines()]
    assert all(0 < line["model_flops_utilisation"] < 1 for line in clock)
    volatile = {name for name, entry in artifact.manifest["outputs"].items() if not entry["deterministic"]}
    assert volatile == {"timing.json", "timing.jsonl"}
    assert not (whole.folder / "state" / "train" / "gpt").exists()


def test_neither_threads_of_the_environment_nor_checkpoints_change_the_result(stage: Stage, whole: Stage) -> None:
    ended = stage.run("other", GPT, "--checkpoint-seconds", "0", "--state", "elsewhere", threads=2)
    assert ended.returncode == 0, ended.stderr
    assert stage.content("other") == whole.content("gpt")


EVERY_STEP = ("--checkpoint-seconds", "0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(stage: Stage, whole: Stage, number: signal.Signals) -> None:
    process = stage.start("gpt", GPT, *EVERY_STEP)
    wait_for_step(stage.folder / "state" / "train" / "gpt", 5, process)
    process.send_signal(number)
    assert process.wait() == (75 if number == signal.SIGTERM else -signal.SIGKILL)
    assert not (stage.folder / "results" / "gpt" / "manifest.json").exists()
    assert "going on after step" in stage.run("gpt", GPT).stderr
    assert stage.content("gpt") == whole.content("gpt")


@pytest.mark.slow
def test_killed_at_many_random_instants_every_family_ends_with_the_same_bytes(root: Path) -> None:
    """The long version: python -m tests.lm.training.kills --kills 100."""
    command = [sys.executable, "-m", "tests.lm.training.kills", "--kills", "12"]
    done = subprocess.run(command, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 runs ended with other bytes" in done.stdout
    assert "not tried" not in done.stdout


def test_a_damaged_newest_checkpoint_is_passed_over_and_the_end_is_the_same(stage: Stage, whole: Stage) -> None:
    assert stage.run("gpt", GPT, "--time-limit", "0", *EVERY_STEP).returncode == 75
    assert stage.run("gpt", GPT, "--time-limit", "0", *EVERY_STEP).returncode == 75
    newest = stage.folder / "state/train/gpt/step-000000002/state.safetensors"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    said = stage.run("gpt", GPT).stderr
    assert "step-000000002 is passed over: state.safetensors is not what was written" in said
    assert "going on after step 1" in said
    assert stage.content("gpt") == whole.content("gpt")


def test_a_full_disk_ends_with_one_line_and_with_space_it_goes_on(stage: Stage, whole: Stage) -> None:
    """On a file system of its own that has room for two checkpoints, but not for a third one beside them."""
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no rights here to mount a small file system")
    train = shlex.join(stage.command("gpt", GPT, *EVERY_STEP))
    script = f"""mkdir state && mount -t tmpfs -o size=180k none state
        {train}; echo "full: $?"; ls state/train/gpt
        mount -o remount,size=10m none state; {train}; echo "again: $?" """
    command = ["unshare", "-rm", "sh", "-c", script]
    done = subprocess.run(command, cwd=stage.folder, env=stage.environment, capture_output=True, text=True)
    assert done.stdout.split() == [
        "full:",
        "2",
        "metrics.jsonl",
        "step-000000001",
        "step-000000002",
        "timing.jsonl",
        "again:",
        "0",
    ]
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "step-000000003: No space left on device; free some space" in errors[0]
    assert "going on after step 2" in done.stderr
    assert stage.content("gpt") == whole.content("gpt")


def run_command(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stages.train", *words, "--tokens", str(stage.tokens)]
    return subprocess.run(command, cwd=stage.folder, env=stage.environment, capture_output=True, text=True)


def test_any_step_of_a_finished_run_can_be_shown_again(whole: Stage) -> None:
    done = run_command(whole, "replay", "--run", "results/gpt", "--step", "33", "--json", "step.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("step 33: loss ")
    assert len(json.loads((whole.folder / "step.json").read_text())["examples"]) == 2
    refused = run_command(whole, "replay", "--run", "results/gpt", "--step", "151")
    assert refused.returncode == 2
    assert "--step: 151 is not one of the steps 1 to 150" in refused.stderr


def test_what_is_left_to_the_machine_is_measured_and_written_down(stage: Stage) -> None:
    """The whole batch fits, and five steps end before anything is compiled."""
    ended = stage.run("auto", GPT | {"training": TRAINING | {"steps": 5, "micro_batch_size": "auto", "compile": "auto"}})
    assert ended.returncode == 0, ended.stderr
    assert "compile: false, for 5 steps of" in ended.stderr
    artifact = stage.artifact("auto")
    assert artifact.json("stats.json")["chosen"] == {"micro_batch_size": 2, "compile": False}
    assert artifact.settings["training"]["compile"] == "auto"
    assert not (stage.folder / "state" / "train" / "auto").exists()
    (kept,) = (stage.folder / "state" / "compile").glob("*.json")
    assert json.loads(kept.read_text())["eager"] > 0


def test_a_batch_that_cannot_be_learned_by_heart_ends_with_1(stage: Stage) -> None:
    for name, rate, code, said in (("good", 1e-2, 0, "learned by heart"), ("bad", 1e-9, 1, "NOT learned")):
        (stage.folder / f"{name}.yaml").write_text(yaml.safe_dump(GPT | {"training": TRAINING | {"learning_rate": rate}}))
        done = run_command(stage, "overfit", "--config", f"{name}.yaml", "--steps", "300", "--below", "0.1")
        assert done.returncode == code, done.stderr
        assert said in done.stdout


def test_a_training_says_how_far_its_estimate_was_off(stage: Stage) -> None:
    """Of an estimate of 10,000 parameters, whatever else it says."""
    estimate = {"parameters": {"total": 10_000}, "tokens": 1, "memory_bytes": {"total": 1}}
    estimate |= {
        "flops": {"forward_per_token": {"total": 0}, "training_total": 0},
        "time": dict.fromkeys(("seconds", "tokens_per_second")),
    }
    (stage.folder / "estimate").mkdir()
    (stage.folder / "estimate" / "stats.json").write_text(json.dumps(estimate))
    ended = stage.run("one", TRIGRAM, "--estimate", "estimate")
    assert ended.returncode == 0, ended.stderr
    one = stage.artifact("one")
    off = one.json("timing.json")["estimate_error_percent"]
    assert off["parameters"] == pytest.approx(100 * (10_000 / one.json("stats.json")["parameters"] - 1))


def test_an_ngram_model_is_counted_whatever_the_settings_of_training(stage: Stage) -> None:
    for name, settings in (("one", TRIGRAM), ("two", TRIGRAM | {"training": {"steps": 3, "seed": 9}})):
        ended = stage.run(name, settings)
        assert ended.returncode == 0, ended.stderr
    one, two = stage.artifact("one"), stage.artifact("two")
    assert "estimate_error_percent" not in one.json("timing.json")
    assert (one.digest, one.manifest["content"]) == (two.digest, two.manifest["content"])
    assert one.json("stats.json")["parameters"] > VOCAB


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": MODEL | {"context_length": 9000}}, "context_length is 9,000, but the train split has only"),
        ({"model": MODEL | {"context_length": 2000}}, "context_length is 2,000, but the valid split has only"),
        ({"model": MODEL | {"heads": 3}}, "d_model 16 is not divisible by heads 3"),
        ({"model": {"family": "ngrm"}}, "model"),
        ({"training": {"learning_rte": 1}}, "did you mean 'learning_rate'"),
        ({"training": TRAINING | {"learning_rate": 1e30}}, "lower training.learning_rate"),
    ],
)
def test_bad_settings_end_with_one_line(stage: Stage, changes: dict[str, object], message: str) -> None:
    ended = stage.run("bad", GPT | changes)
    assert ended.returncode == 2
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in ended.stderr
    assert not (stage.folder / "results" / "bad" / "manifest.json").exists()
