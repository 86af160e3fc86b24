"""Peak memory on a GPU: estimates against what torch.cuda counts in a process of its own; none was fitted to these runs."""

import sys
from typing import Any

import pytest

from stages.lm.accounting.largest_batch import largest_batch
from stages.lm.accounting.measured import Steps, peak_bytes, with_batch
from stages.lm.accounting.memory import training_memory
from stages.lm.settings import parse
from stages.lm.training.settings import TrainSettings
from tests.lm.accounting.cases import CHOSEN, GPT, drawn

RUNS = [(*case, 9000) for case in CHOSEN.values()] + drawn(16, seed=11)
BY_CUDNN = ("rnn", "lstm", "gru")
"""Of whose recurrent layers the estimate counts what those of a CPU keep."""


def run(model: dict[str, Any], training: dict[str, Any]) -> TrainSettings:
    """Batches large enough that blocks of the allocator do not matter."""
    size = 16 * training.get("batch_size", 4)
    micro = training.get("micro_batch_size")
    values = training | {"batch_size": size, "device": "cuda"} | ({"micro_batch_size": 16 * micro} if micro else {})
    return parse(TrainSettings, {"model": model, "training": values}, "test")


@pytest.mark.parametrize("number", range(len(RUNS)), ids=lambda number: f"{number}-{RUNS[number][0]['family']}")
def test_the_peak_is_what_torch_counts(number: int) -> None:
    model, training, vocab_size = RUNS[number]
    train = run(model, training)
    measured = peak_bytes(Steps(train.resolved(), vocab_size))
    assert measured is not None
    estimated = training_memory(train.model, train.training, vocab_size)["total"]
    error = estimated / measured - 1
    sys.stdout.write(f"memory of {model['family']}, {training}: {measured / 1e6:.1f} MB, {error:+.2%}\n")
    assert abs(error) < (0.35 if model["family"] in BY_CUDNN else 0.05)


def test_the_largest_batch_runs_and_one_more_does_not(tmp_path: Any) -> None:
    limit = 2_000_000_000
    train = run({**GPT, "d_model": 256}, {})
    found = largest_batch(train, 9000, limit, kept=tmp_path / "kept.json")
    sys.stdout.write(f"largest batch {found}\n")
    assert found.batch_size == pytest.approx(found.estimated, rel=0.25)  # the limit is on what the allocator reserves
    for size, fits in ((found.batch_size, True), (found.batch_size + 1, False)):
        steps = Steps(with_batch(train, size).resolved(), 9000, limit=limit)
        assert (peak_bytes(steps) is not None) is fits
