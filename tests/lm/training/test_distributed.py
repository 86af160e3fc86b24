"""Two processes against one, by torch's engines on a CPU: the same losses, and no end that leaves one of them behind."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stages.lm import artifacts
from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.settings import TransformerSettings
from stages.lm.training.batches import Batch
from stages.lm.training.distributed import Ranks, RowsOfRank
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainingSettings
from tests.counting_tokens import write_tokens

TRAINING = {
    "steps": 50, "batch_size": 8, "micro_batch_size": 3, "learning_rate": 1e-2, "log_every": 1, "validate_every": 20,
    "validation_windows": 9, "watch_every": 25, "threads": 1, "device": "cpu", "matmul_precision": "highest",
}  # fmt: skip
"""With products as exact as torch has them: some CPUs round `medium` ones to bf16, more coarsely than what is compared here."""
MODEL = {"layers": 2, "d_model": 16, "context_length": 16, "tie_embeddings": True}
TRANSFORMER: dict[str, Any] = {"model": MODEL | {"family": "transformer", "heads": 2}, "training": TRAINING}
LSTM: dict[str, Any] = {"model": MODEL | {"family": "lstm"}, "training": TRAINING}
EVERY_STEP = ("--checkpoint-seconds", "0")


class Trainings:
    """Runs the train stage in a folder, with any number of processes."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.tokens = folder, write_tokens(folder / "tokens")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = os.environ | {"PYTHONPATH": str(root), "PATH": path, "OMP_NUM_THREADS": "1"}

    def start(self, name: str, settings: dict[str, Any], processes: int, *options: str) -> "subprocess.Popen[str]":
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(settings))
        train = ["python", "-m", "stages.train", "--config", f"{name}.yaml", "--tokens", "tokens", "--out", name, *options]
        command = [sys.executable, "-m", "workflow.launch", "--processes", str(processes), "--", *train]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def run(self, name: str, settings: dict[str, Any], processes: int, *options: str, code: int = 0) -> str:
        """Run to the end, expect its exit code; returns what was said."""
        process = self.start(name, settings, processes, *options)
        _, said = process.communicate(timeout=300)
        assert process.returncode == code, said
        return said

    def checkpoints(self, name: str) -> list[Path]:
        return sorted((self.folder / "state" / "train" / name).glob("step-*"))

    def wait_for_step(self, name: str, step: int, process: "subprocess.Popen[str]") -> None:
        while not any(int(folder.name.removeprefix("step-")) >= step for folder in self.checkpoints(name)):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)

    def metrics(self, name: str) -> list[dict[str, Any]]:
        lines = artifacts.read(self.folder / name, "train").file("metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def content(self, name: str) -> str:
        return str(artifacts.read(self.folder / name, "train").manifest["content"])


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Trainings:
    """Both families trained by one process, in `transformer` and `lstm`."""
    made = Trainings(tmp_path_factory.mktemp("ranks"), root)
    made.run("transformer", TRANSFORMER, 1)
    made.run("lstm", LSTM, 1)
    return made


@pytest.fixture(scope="module")
def pair(trainings: Trainings) -> str:
    """The transformer trained by two processes without a break."""
    trainings.run("pair", TRANSFORMER, 2)
    return "pair"


def assert_equal_to_rounding(found: Any, expected: Any) -> None:
    """Losses, norms and the rest of two logs of metrics."""
    assert len(found) == len(expected)
    for line, same in zip(found, expected, strict=True):
        assert line.keys() == same.keys()
        for key, value in line.items():
            if isinstance(value, dict):
                for part, numbers in value.items():
                    assert numbers == pytest.approx(same[key][part], rel=2e-3)
            else:
                assert value == pytest.approx(same[key], rel=1e-4 if "loss" in key else 2e-3)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(trainings: Trainings, pair: str) -> None:
    assert len([line for line in trainings.metrics(pair) if "loss" in line]) == 50
    assert_equal_to_rounding(trainings.metrics(pair), trainings.metrics("transformer"))


@pytest.mark.slow
def test_the_ranks_choose_one_micro_batch_by_the_memory_of_shards(trainings: Trainings) -> None:
    settings = TRANSFORMER | {"training": TRAINING | {"steps": 2, "micro_batch_size": "auto"}}
    said = trainings.run("chosen", settings, 2, "--engine", "fsdp")
    assert said.count("micro_batch_size: 4 of 4 sequences at once") == 1
    assert artifacts.read(trainings.folder / "chosen", "train").json("stats.json")["chosen"] == {"micro_batch_size": 4}


@pytest.mark.slow
def test_shards_have_the_losses_of_whole_models(trainings: Trainings) -> None:
    """Their artifact holds a whole model, too."""
    trainings.run("shards", TRANSFORMER, 2, "--engine", "fsdp")
    assert_equal_to_rounding(trainings.metrics("shards"), trainings.metrics("transformer"))
    one, two = (registry.load(trainings.folder / name).state_dict() for name in ("transformer", "shards"))  # type: ignore[attr-defined]
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ddp", "fsdp"])
def test_carried_state_is_that_of_one_process(trainings: Trainings, engine: str) -> None:
    """Also when a checkpoint in the middle holds it."""
    name = f"lstm-{engine}"
    process = trainings.start(name, LSTM, 2, "--engine", engine, *EVERY_STEP)
    trainings.wait_for_step(name, 10, process)
    process.terminate()
    assert process.wait(timeout=60) == 75
    trainings.run(name, LSTM, 2, "--engine", engine)
    assert_equal_to_rounding(trainings.metrics(name), trainings.metrics("lstm"))


@pytest.mark.slow
def test_two_killed_processes_go_on_and_end_with_the_same_bytes(trainings: Trainings, pair: str) -> None:
    moments = random.Random(0)
    process = trainings.start("killed", TRANSFORMER, 2, *EVERY_STEP)
    trainings.wait_for_step("killed", moments.randrange(1, 25), process)
    time.sleep(moments.uniform(0, 0.05))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kill_workers(trainings.folder)
    assert not (trainings.folder / "killed" / "manifest.json").exists()
    assert "going on after step" in trainings.run("killed", TRANSFORMER, 2)
    assert trainings.content("killed") == trainings.content(pair)


def kill_workers(folder: Path) -> None:
    """torchrun puts its workers into sessions of their own; those of this test work in `folder`."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == folder and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
        except (OSError, PermissionError):
            continue


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_checkpoint_goes_on_with_another_number_of_processes(trainings: Trainings, first: int, then: int) -> None:
    """SIGTERM ends all of them with 75, after the same step; shards are read by one process, and made from what one wrote."""
    name = f"from-{first}-to-{then}"
    process = trainings.start(name, TRANSFORMER, first, "--engine", "fsdp", *EVERY_STEP)
    trainings.wait_for_step(name, 10, process)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert said.count("stopped by") == 1
    said = trainings.run(name, TRANSFORMER, then, "--engine", "fsdp")
    assert f"going on after step {int(said.partition('after step ')[2].partition(',')[0])}" in said
    assert_equal_to_rounding(trainings.metrics(name), trainings.metrics("transformer"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 7, "micro_batch_size": 7}, "training.batch_size: 7 cannot be divided evenly among 2 processes"),
        ({"batch_size": 0}, "training.batch_size"),
        ({"learning_rate": 1e30, "warmup_steps": 0, "schedule": "constant"}, "the loss or its gradient is no longer finite"),
    ],
)
def test_a_mistake_is_said_once(trainings: Trainings, changed: dict[str, Any], message: str) -> None:
    said = trainings.run("mistaken", {**TRANSFORMER, "training": TRAINING | changed}, 2, code=2)
    errors = [line for line in said.splitlines() if "validation loss" not in line]
    assert len(errors) == 1, said
    assert errors[0].startswith("error: train: ")
    assert message in errors[0]


@pytest.mark.slow
def test_what_goes_wrong_on_the_first_alone_ends_both(trainings: Trainings) -> None:
    """Only the first process takes the artifact's lock."""
    (trainings.folder / "locked").mkdir()
    with (trainings.folder / "locked" / artifacts.LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = trainings.run("locked", TRANSFORMER, 2, code=2)
    assert said.count("\n") == 1
    assert "another process is writing this artifact" in said


class Numbers:
    """Batches of ten rows, and one of a single row to validate on."""

    tokens_per_step = 10

    def batch(self, step: int) -> Batch:
        return Batch((torch.arange(10) + 10 * step,), 10)

    def validation(self) -> Any:
        yield self.batch(0)
        yield Batch((torch.arange(1),), 1, torch.ones(1, 1, dtype=torch.bool))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_rows_of_the_ranks_are_the_batch(count: int) -> None:
    parts = [RowsOfRank(Numbers(), Ranks(rank, count), 10) for rank in range(count)]
    assert torch.cat([part.batch(3).tensors[0] for part in parts]).tolist() == list(range(30, 40))
    assert {part.batch(3).predictions for part in parts} == {10}
    shares = [1 / list(part.validation())[1].copies for part in parts]
    assert sum(shares) == pytest.approx(1.0)


def test_rows_that_cannot_be_divided_evenly_are_refused() -> None:
    with pytest.raises(UserError, match=r"training\.batch_size: 10 cannot be divided evenly among 3 processes"):
        RowsOfRank(Numbers(), Ranks(0, 3), 10)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_blocks_computed_again_give_the_same_bits(dropout: float) -> None:
    model = TransformerSettings(family="transformer", layers=2, heads=2, d_model=16, context_length=8, dropout=dropout)
    ids = torch.randint(13, (4, 9), generator=torch.Generator().manual_seed(0))
    gradients = []
    for again in (False, True):
        settings = TrainingSettings(batch_size=4, micro_batch_size=3, threads=1, device="cpu", activation_checkpointing=again)
        built = registry.build(model, 13, 0)
        assert isinstance(built, torch.nn.Module)
        pupil = Learner(built, settings, torch.device("cpu"))
        torch.manual_seed(1)
        calls = []
        built.get_submodule("layers.0.ffn").register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        loss = pupil.gradient(Batch((ids,), 32))
        assert len(calls) == (4 if again else 2)  # two micro-batches
        gradients.append([loss, *(parameter.grad for parameter in built.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
