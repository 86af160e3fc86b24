"""The train stage as a process: what it writes, and that no way of ending it changes the result."""

import json
import os
import random
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

VOCAB = 20
GPT: dict[str, object] = {
    "model": {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 16},
    "training": {"steps": 150, "batch_size": 2, "learning_rate": 1e-2, "validate_every": 40, "threads": 1, "device": "cpu"},
}
TRIGRAM: dict[str, object] = {"model": {"family": "ngram", "order": 3}}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token artifact of documents that count up from a random number."""
    folder, rng = tmp_path_factory.mktemp("tokens") / "tiny", np.random.default_rng(0)
    with artifacts.writing(folder, "tokenize", {}, {}) as draft:
        for split, documents in (("train", 200), ("valid", 30), ("test", 30)):
            starts, lengths = rng.integers(VOCAB, size=documents), rng.integers(5, 30, size=documents)
            texts = [[*(1 + (start + np.arange(n)) % (VOCAB - 1)), 0] for start, n in zip(starts, lengths, strict=True)]
            np.save(draft.path / f"{split}.npy", np.concatenate(texts).astype(np.uint16))
            np.save(draft.path / f"{split}.offsets.npy", np.cumsum([0, *lengths + 1]))
            np.save(draft.path / f"{split}.bytes.npy", lengths)
        draft.write_json("stats.json", {"vocab_size": VOCAB, "end_of_text": 0, "tokenizer": "0123456789ab", "splits": {}})
    return folder


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
def test_killed_at_many_random_moments_it_ends_with_the_same_bytes(stage: Stage, whole: Stage) -> None:
    moments = random.Random(0)
    for step in (1, 20, 45, 80, 120):
        process = stage.start("gpt", GPT, *EVERY_STEP)
        wait_for_step(stage.folder / "state" / "train" / "gpt", step, process)
        time.sleep(moments.random() * 0.05)
        process.kill()
        process.wait()
    assert stage.run("gpt", GPT).returncode == 0
    assert stage.content("gpt") == whole.content("gpt")


def test_an_ngram_model_is_counted_whatever_the_settings_of_training(stage: Stage) -> None:
    for name, settings in (("one", TRIGRAM), ("two", TRIGRAM | {"training": {"steps": 3, "seed": 9}})):
        ended = stage.run(name, settings)
        assert ended.returncode == 0, ended.stderr
    one, two = stage.artifact("one"), stage.artifact("two")
    assert (one.digest, one.manifest["content"]) == (two.digest, two.manifest["content"])
    assert one.json("stats.json")["parameters"] > VOCAB


MODEL, TRAINING = cast(dict[str, object], GPT["model"]), cast(dict[str, object], GPT["training"])


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
