"""Parameters, FLOPs and memory of recurrent models against built models and torch's own counter."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch.utils.flop_counter import FlopCounterMode

from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.measured import saved_bytes
from stages.lm.accounting.memory import activations, optimizer_state
from stages.lm.accounting.parameters import parameters
from stages.lm.models import registry
from stages.lm.models.recurrent.gru import GruLM
from stages.lm.models.recurrent.lstm import LstmLM
from stages.lm.models.recurrent.rnn import RnnLM
from stages.lm.models.settings import ModelSettings
from stages.lm.training.optimizer import build_optimizer
from stages.lm.training.settings import TrainingSettings

MODELS = {"rnn": RnnLM, "lstm": LstmLM, "gru": GruLM}
VOCAB = 29


def settings(family: str, **changes: object) -> Any:
    values: dict[str, object] = {"family": family, "layers": 3, "d_model": 16, "context_length": 24}
    return TypeAdapter(ModelSettings).validate_python(values | changes)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("tied", [False, True])
def test_parameters_are_those_of_the_built_model(family: str, tied: bool) -> None:
    described = settings(family, tie_embeddings=tied)
    counted = parameters(described, VOCAB, 0)
    model = registry.build(described, VOCAB, 0)
    assert counted["total"] == model.num_parameters()
    named = dict(model.named_parameters())  # type: ignore[attr-defined]
    assert counted["input"] == sum(p.numel() for name, p in named.items() if ".w_x." in name)
    assert counted["recurrence"] == sum(p.numel() for name, p in named.items() if ".w_h." in name)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("length", [24, 60])
def test_flops_are_those_that_torch_counts(family: str, length: int) -> None:
    described = settings(family)
    model = MODELS[family].from_settings(described, VOCAB, is_fused=False)
    ids = torch.zeros(2, length + 1, dtype=torch.long)
    with FlopCounterMode(display=False) as forward:
        model(ids[:, :-1])
    with FlopCounterMode(display=False) as training:
        model.total_loss(ids).backward()
    expected = forward_flops_per_token(described, VOCAB, length)
    assert forward.get_total_flops() == 2 * length * expected["total"]
    from_zero = 2 * expected["recurrence"]  # the first state is no function of anything: no gradient goes to it
    assert training.get_total_flops() == training_flops(expected, 2 * length) - from_zero


@pytest.mark.parametrize("family", MODELS)
def test_activations_are_what_autograd_keeps(family: str) -> None:
    described = settings(family, d_model=64, context_length=100)
    model = registry.build(described, VOCAB, 0)
    promised = activations(described, TrainingSettings(batch_size=8), VOCAB)
    del promised["logits"]  # which are gone when the loss is known
    found = saved_bytes(model, torch.zeros(8, 101, dtype=torch.long))
    assert found == pytest.approx(sum(promised.values()), rel=0.06)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_memory_of_the_optimizer_is_what_its_state_takes(optimizer: str) -> None:
    described, training = settings("lstm"), TrainingSettings(optimizer=optimizer)  # type: ignore[arg-type]
    model = LstmLM.from_settings(described, VOCAB)
    learner = build_optimizer(model, training)
    model.total_loss(torch.zeros(1, 5, dtype=torch.long)).backward()
    learner.step()
    taken = sum(
        value.numel() * 4
        for state in learner.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.dim() > 0
    )
    assert taken == optimizer_state(described, training, model.num_parameters())
