"""Training on a GPU does what it does on a CPU, compiled and recorded or not."""

from typing import Any

import numpy as np
import pytest
import torch

from stages.lm.accounting.batches import Lengths, random_batch
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.training import machine
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainSettings
from tests.lm.accounting.cases import CHOSEN
from tests.lm.models.variants import VARIANTS, settings

VOCAB, STEPS = 300, 4
WITHOUT_DROPOUT = {family: {"dropout": 0.0} for family in ("bert", "transformer-seq2seq", "rnn-seq2seq")}


def steps(model: dict[str, Any], training: dict[str, Any]) -> list[tuple[float, float]]:
    """(loss, norm of the gradient) of each step on one batch: how the weights were changed shows in those that follow."""
    """Without dropout, for which devices draw other numbers."""
    values = {"batch_size": 6, "learning_rate": 1e-3, "matmul_precision": "highest"} | training
    train = parse(TrainSettings, {"model": model | WITHOUT_DROPOUT.get(model["family"], {}), "training": values}, "test")
    device = machine.prepare(train.training)
    assert device.type == train.training.device
    learner = Learner(registry.build(train.model, VOCAB, 0), train.training, device)  # type: ignore[arg-type]
    lengths = Lengths(20, 18) if "seq2seq" in model["family"] else None
    torch.manual_seed(1)
    batch = random_batch(train.model, train.training, VOCAB, lengths)
    found = [learner.step(batch._replace(fresh=batch.fresh and step == 0), 1e-3) for step in range(STEPS)]
    return [(step.loss.item(), step.norm.item()) for step in found]


def close(found: list[tuple[float, float]], expected: list[tuple[float, float]], tolerance: float) -> None:
    assert np.array(found) == pytest.approx(np.array(expected), rel=tolerance)


CASES = {name: case for name, case in CHOSEN.items() if "dropout" not in name}


@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_of_a_cpu(case: str) -> None:
    model, training = CASES[case]
    cpu, gpu = (steps(model, training | {"device": device}) for device in ("cpu", "cuda"))
    close(gpu, cpu, 2e-2 if training.get("precision") == "bf16" or training.get("optimizer") == "muon" else 2e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_transformer(name: str) -> None:
    model = settings(**VARIANTS[name] | {"context_length": 100, "d_model": 64}).resolved()
    cpu, gpu = (steps(model, {"device": device}) for device in ("cpu", "cuda"))
    close(gpu, cpu, 2e-4)


@pytest.mark.parametrize("training", [{}, {"micro_batch_size": 2}, {"precision": "bf16"}], ids=str)
@pytest.mark.parametrize("compile", [True, "graphs"])
def test_compiled_steps(compile: object, training: dict[str, Any]) -> None:
    model = CHOSEN["transformer"][0]
    expected = steps(model, training | {"device": "cuda"})
    close(steps(model, training | {"device": "cuda", "compile": compile}), expected, 2e-2 if "precision" in training else 2e-4)
