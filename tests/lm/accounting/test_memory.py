"""Peak memory: estimates against the allocator's own record in a fresh process, autograd and the course's list."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.lm.accounting.batches import random_batch
from stages.lm.accounting.course_memory import course_memory
from stages.lm.accounting.measured import Steps, peak_bytes
from stages.lm.accounting.memory import kept_activations, training_memory
from stages.lm.accounting.parameters import parameters
from stages.lm.accounting.settings import EstimateSettings, SpreadSettings
from stages.lm.accounting.spread_memory import memory_of_each
from stages.lm.accounting.storages import Storages
from stages.lm.models import registry
from stages.lm.models.settings import NgramSettings
from stages.lm.settings import parse
from stages.lm.studies.complexity import training_bytes
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainingSettings, TrainSettings
from tests.lm.accounting.cases import CHOSEN, GPT, drawn
from tests.lm.models.variants import VARIANTS, settings


def run(model: dict[str, Any], training: dict[str, Any]) -> TrainSettings:
    """With exact products: for `medium` ones CPUs with AMX copy operands to bf16, which no estimate counts."""
    values = {"batch_size": 8, "device": "cpu", "threads": 1, "matmul_precision": "highest"} | training
    return parse(TrainSettings, {"model": model, "training": values}, "test")


def deviation(train: TrainSettings, vocab_size: int) -> float:
    """Of the estimate from what a fresh process measures, as a share of that."""
    estimated = training_memory(train.model, train.training, vocab_size)["total"]
    measured = peak_bytes(Steps(train.resolved(), vocab_size))
    assert measured is not None
    return estimated / measured - 1


@pytest.mark.slow
@pytest.mark.parametrize(("model", "training"), CHOSEN.values(), ids=CHOSEN.keys())
def test_the_peak_is_what_the_allocator_records(model: dict[str, Any], training: dict[str, Any]) -> None:
    found = deviation(run(model, training), 1500)
    sys.stdout.write(f"{found:+.4%}\n")
    assert abs(found) < (0.01 if model["family"] == "lstm" else 0.001)


@pytest.mark.slow
@pytest.mark.parametrize("case", drawn(12, seed=6), ids=lambda case: f"{case[0]['family']}-{case[0]['d_model']}")
def test_the_peak_of_runs_that_nobody_chose(case: tuple[dict[str, Any], dict[str, Any], int]) -> None:
    model, training, vocab_size = case
    found = deviation(run(model, training), vocab_size)
    sys.stdout.write(f"{found:+.4%}\n")
    assert abs(found) < (0.02 if model["family"] == "lstm" else 0.005)


def spread(train: TrainSettings, processes: int, engine: Any) -> EstimateSettings:
    shared = SpreadSettings(processes=processes, engine=engine)
    return EstimateSettings(model=train.model, training=train.training, spread=shared)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "tolerance"), [("ddp", 0.01), ("fsdp", 0.05)])
def test_the_peak_of_two_processes(engine: Any, tolerance: float, tmp_path: Path, root: Path) -> None:
    """DDP makes its buckets anew after the first step, and the old ones may still be in use then: once more the gradients.

    What FSDP sends is let go by gloo's threads when they come to it, at times too late: then it is measured again.
    """
    train = run({**GPT, "layers": 4, "d_model": 256, "context_length": 256}, {"batch_size": 8})
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29653", "tests/lm/accounting/ranks.py"]
    given = [engine, json.dumps(train.resolved()), str(tmp_path / "peak")]
    found = memory_of_each(spread(train, 2, engine), 2000)
    most = (found["total"] + (found["gradients"] if engine == "ddp" else 0)) * (1 + tolerance)
    for _ in range(5):
        subprocess.run([sys.executable, *command, *given], cwd=root, env={**os.environ, "PYTHONPATH": "."}, check=True)
        measured = int((tmp_path / "peak").read_text())
        if measured < most:
            break
    assert found["total"] * (1 - tolerance) < measured < most


def test_shards_of_many_devices() -> None:
    """Weights, gradients and optimizer: 16 bytes a parameter over all devices (Rajbhandari et al. 2020, figure 1)."""
    train, count = run({**GPT, "feed_forward": "silu", "d_ff": 512, "context_length": 8, "layers": 12}, {"batch_size": 64}), 64
    memory = memory_of_each(spread(train, count, "fsdp"), 30_000)
    numbers = parameters(train.model, 30_000, 0)["total"]
    assert count * sum(memory[name] for name in ("weights", "gradients", "optimizer")) == pytest.approx(16 * numbers, rel=1e-3)
    outside = 4 * (2 * 30_000 * 128 + 128)
    assert memory["unsharded"] > outside  # which stays together to the end of the backward pass


def test_an_end_without_memory_is_an_answer_and_any_other_is_not() -> None:
    assert peak_bytes(Steps(run(GPT, {}).resolved(), 1500, limit=10_000_000)) is None
    with pytest.raises(RuntimeError, match="vocab"):
        peak_bytes(Steps(run(GPT, {}).resolved(), "vocab"))  # type: ignore[arg-type]


def test_components_of_the_peak() -> None:
    memory = training_memory(run(GPT, {}).model, TrainingSettings(batch_size=8, device="cpu"), 1500)
    assert memory["total"] == sum(size for name, size in memory.items() if name != "total")
    model: Any = registry.build(run(GPT, {}).model, 1500, 0)
    tables = sum(buffer.nbytes for buffer in {id(buffer): buffer for buffer in model.buffers()}.values())
    assert memory["weights"] == 4 * model.num_parameters() + tables
    assert memory["batch"] == 8 * 8 * 193
    assert memory["logits"] == 2 * 4 * 8 * 192 * 1500  # one slice: as products and as log-probabilities


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("family", ["lstm", "transformer"])
def test_the_optimizers_memory_is_what_its_state_takes(family: str, optimizer: str) -> None:
    train = run({**GPT, "family": family} if family == "transformer" else CHOSEN["lstm"][0], {"optimizer": optimizer})
    model: Any = registry.build(train.model, 29, 0)
    learner = Learner(model, train.training, torch.device("cpu"))
    learner.step(random_batch(train.model, train.training, 29), 1e-3)
    taken = [value for state in learner.optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    assert training_memory(train.model, train.training, 29)["optimizer"] == sum(value.nbytes for value in taken)


@pytest.mark.parametrize("shape", [{}, {"context_length": 150}, {"context_length": 520, "layers": 1}], ids=str)
@pytest.mark.parametrize("changes", [*VARIANTS.values(), {"dropout": 0.1}], ids=[*VARIANTS.keys(), "dropout"])
def test_activations_are_what_autograd_keeps(changes: dict[str, object], shape: dict[str, object]) -> None:
    described = settings(**changes | shape)
    model = registry.build(described, 29, 0)
    kept = training_bytes(model, torch.zeros(2, described.context_length + 1, dtype=torch.long))
    promised = kept_activations(described, TrainingSettings(batch_size=2, device="cpu"), 29)["total"]
    assert promised == pytest.approx(kept, rel=0.015)


def test_blocks_that_are_computed_again_keep_their_inputs_alone() -> None:
    six, one = (
        kept_activations(settings(layers=layers), TrainingSettings(batch_size=2, device="cpu", activation_checkpointing=True), 29)
        for layers in (6, 1)
    )
    assert six["total"] - one["total"] == 5 * 2 * settings().context_length * settings().d_model * 4


def test_a_model_too_large_for_any_machine_is_rehearsed_on_this_one() -> None:
    """GPT-3's shape, Brown et al. 2020, table 2.1, cut to four of its 96 layers."""
    large = settings(layers=4, heads=96, d_model=12_288, d_ff=49_152, feed_forward="gelu", context_length=2048)
    memory = training_memory(large, TrainingSettings(batch_size=32, device="cpu"), 50_257)
    assert memory["weights"] + memory["optimizer"] == pytest.approx(12 * parameters(large, 50_257, 0)["total"], rel=1e-3)
    assert memory["total"] > 200e9


def test_a_gpu_never_holds_all_scores_and_takes_larger_slices_of_the_logits() -> None:
    train = run({**GPT, "heads": 32, "context_length": 512}, {"batch_size": 16})
    cpu, gpu = (
        training_memory(train.model, train.training.model_copy(update={"device": device}), 9000) for device in ("cpu", "cuda")
    )
    scores = 3 * 16 * 32 * 512 * 512 * 4  # of three blocks
    assert cpu["attention"] - gpu["attention"] == pytest.approx(scores, rel=0.02)
    assert gpu["logits"] == 2 * 4 * 16 * 512 * 9000  # all at once, as they fit into a slice
    assert "logits" not in cpu  # where the scores make the backward pass the peak
    assert training_memory(train.model, train.training, 9000) == cpu


@pytest.mark.parametrize(("gated", "expected"), [(False, 15.52e9), (True, 18.03e9)])
def test_activations_of_a_sequence_of_gpt2_xl_by_the_courses_list(gated: bool, expected: float) -> None:
    shape = {"layers": 48, "heads": 25, "d_model": 1600, "d_ff": 6400, "context_length": 1024}
    one = course_memory(settings(**shape), 50_257, 1, count_gate=gated)
    assert one["weights"] + one["gradients"] + one["optimizer"] == pytest.approx(34.03e9, rel=1e-3)
    activations = one["total"] - 16 * 2_127_057_600
    assert activations == pytest.approx(expected, rel=1e-3)
    plain = course_memory(settings(**shape, feed_forward="silu"), 50_257, 1)
    assert plain["total"] - activations == pytest.approx(26.17e9 + (15.52e9 - expected), rel=2e-3)
    assert course_memory(settings(**shape), 50_257, 7)["logits"] == 7 * one["logits"]


def test_counting_models_keep_their_counts() -> None:
    memory = training_memory(NgramSettings(family="ngram", order=3), TrainingSettings(), 100, tokens=50_000)
    assert memory["counts"] == 16 * 60_100
    assert memory["total"] == 16 * 60_100 + 40 * 50_000


def test_memory_that_is_taken_away_and_given_back() -> None:
    """As FSDP does with weights: a storage that lives on, empty."""
    with Storages(7) as log:
        tensor = torch.empty(10)
        for size in (0, 40, 0):
            tensor.untyped_storage().resize_(size)
        del tensor
    assert log.sizes == [40, 40]
    assert log.events == [(0, True), (0, False), (1, True), (1, False)]


def test_the_highest_moment_of_a_log() -> None:
    log = Storages(7)
    log.sizes, log.uses = [10, 20, 5], ["weights", "workspace", "weights"]
    log.events = [(0, True), (1, True), (1, False), (2, True)]
    assert log.peak() == {"weights": 10, "workspace": 20}
    assert log.at(4) == {"weights": 15}
