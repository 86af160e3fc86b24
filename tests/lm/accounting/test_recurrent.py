"""Parameters and FLOPs of recurrent models against built models and torch's own counter."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch.utils.flop_counter import FlopCounterMode

from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.parameters import parameters
from stages.lm.models import registry
from stages.lm.models.recurrent.gru import GruLM
from stages.lm.models.recurrent.lstm import LstmLM
from stages.lm.models.recurrent.rnn import RnnLM
from stages.lm.models.settings import ModelSettings

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
