"""Operations of an optimizer's step: by hand, and its matrix products against torch's counter."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.lm.accounting.update import newton_schulz, update_flops
from stages.lm.models import registry
from stages.lm.models.settings import NgramSettings
from stages.lm.training.optimizer import build_optimizer
from stages.lm.training.settings import TrainingSettings
from tests.lm.accounting.families import FAMILIES, described


def stepped(settings: Any, training: TrainingSettings) -> tuple[int, int]:
    """A real step: the parameters, and the operations of its matrix products."""
    model: Any = registry.build(settings, 29, 0)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer = build_optimizer(model, training)
    with FlopCounterMode(display=False) as counter:
        optimizer.step()
    return model.num_parameters(), counter.get_total_flops()


@pytest.mark.parametrize("family", FAMILIES)
def test_adamw_takes_14_for_each_parameter(family: str) -> None:
    parameters, products = stepped(described(family), TrainingSettings())
    assert update_flops(described(family), TrainingSettings(), 29)["adamw"] == 14 * parameters
    assert products == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_muons_products_are_those_that_torch_counts(family: str) -> None:
    training = TrainingSettings(optimizer="muon")
    _, products = stepped(described(family), training)
    found = update_flops(described(family), training, 29)
    assert found.get("newton_schulz", 0) == products
    assert found["total"] == sum(value for name, value in found.items() if name != "total")


def test_an_iteration_by_hand() -> None:
    """Five rounds on a (2, 3): 2*2*2*3 for the square, 2*2*2*2 for its square, 2*2*2*3 for the product."""
    assert newton_schulz(2, 3)[0] == newton_schulz(3, 2)[0] == 5 * (24 + 16 + 24)


def test_counting_models_have_no_optimizer() -> None:
    assert update_flops(NgramSettings(family="ngram"), TrainingSettings(), 29) == {"total": 0}
