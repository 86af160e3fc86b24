"""The fused output layer and loss against torch's two steps."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.models import head_loss as module
from stages.lm.models.head_loss import HeadLoss


def case(rows: int = 23, d_model: int = 5, vocab_size: int = 11, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    features = torch.randn(rows, d_model, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocab_size, d_model, dtype=dtype, requires_grad=True)
    return features, weight, torch.randint(vocab_size, (rows,))


def two_steps(features: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(features @ weight.T, targets, reduction="sum")


@pytest.mark.parametrize("logits", [1, 33, 2**20], ids=["a row", "slices with a rest", "one slice"])
def test_value_and_gradients_are_those_of_the_two_steps(monkeypatch: pytest.MonkeyPatch, logits: int) -> None:
    monkeypatch.setitem(module.LOGITS_PER_SLICE, "cpu", logits)
    features, weight, targets = case()
    found = HeadLoss()(features, weight, targets)
    expected = two_steps(features, weight, targets)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)
    for own, theirs in zip(
        torch.autograd.grad(found / 7, (features, weight)), torch.autograd.grad(expected / 7, (features, weight)), strict=True
    ):
        torch.testing.assert_close(own, theirs, rtol=1e-12, atol=1e-14)


def test_a_certain_mistake_has_a_finite_loss() -> None:
    features, weight = torch.tensor([[1000.0]]), torch.tensor([[1.0], [0.0]])
    assert HeadLoss()(features, weight, torch.tensor([1])).item() == 1000.0


def test_autocast_rounds_as_it_does_for_the_two_steps() -> None:
    features, weight, targets = case(64, 32, 100, torch.float32)
    exact = torch.autograd.grad(two_steps(features, weight, targets), weight)[0]
    with torch.autocast("cpu", torch.bfloat16):
        own = torch.autograd.grad(HeadLoss()(features, weight, targets), weight)[0]
        theirs = torch.autograd.grad(two_steps(features, weight, targets), weight)[0]
    assert own.dtype == torch.float32
    assert (own - exact).norm() <= 1.1 * (theirs - exact).norm()


def test_without_gradients_none_are_computed() -> None:
    features, weight, targets = case()
    with torch.no_grad():
        loss = HeadLoss()(features, weight, targets)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, two_steps(features, weight, targets))
