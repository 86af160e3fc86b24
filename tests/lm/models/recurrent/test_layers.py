"""The recurrent layers: equations by hand, torch.nn's modules, the fused twins, and how they start."""

import math

import pytest
import torch
from torch import Tensor, nn

from stages.lm.models.recurrent.gru import GRU
from stages.lm.models.recurrent.layer import RecurrentLayer
from stages.lm.models.recurrent.lstm import LSTM
from stages.lm.models.recurrent.rnn import RNN

FAMILIES = [(RNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)]
LAYERS = [layer for layer, _ in FAMILIES]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def scalar(kind: type[RecurrentLayer], w_x: list[float], w_h: list[float], b: list[float]) -> RecurrentLayer:
    layer = kind(1).double()
    layer.load_state_dict({"w_x.weight": column(w_x), "w_h.weight": column(w_h), "b": column(b)[:, 0]})
    return layer


def column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_an_rnn_step_by_hand() -> None:
    layer = scalar(RNN, [0.5], [-2.0], [0.1])
    (h,) = layer.step(column([3.0]), [column([0.25])])
    assert h.item() == pytest.approx(math.tanh(0.5 * 3.0 - 2.0 * 0.25 + 0.1))


def test_an_lstm_step_by_hand() -> None:
    layer = scalar(LSTM, [1.0, -0.5, 2.0, 0.25], [0.5, 1.0, -1.0, 3.0], [0.1, 0.2, 0.3, 0.4])
    h, c = layer.step(column([0.8]), [column([-0.6]), column([1.5])])
    i, f, o = (sigmoid(value) for value in (0.8 - 0.3 + 0.1, -0.4 - 0.6 + 0.2, 0.2 - 1.8 + 0.4))
    cell = f * 1.5 + i * math.tanh(1.6 + 0.6 + 0.3)
    assert c.item() == pytest.approx(cell)
    assert h.item() == pytest.approx(o * math.tanh(cell))


def test_a_gru_step_by_hand() -> None:
    layer = scalar(GRU, [1.0, -0.5, 2.0], [0.5, 1.0, -1.0], [0.1, 0.2, 0.3])
    (h,) = layer.step(column([0.8]), [column([-0.6])])
    r, z = sigmoid(0.8 - 0.3 + 0.1), sigmoid(-0.4 - 0.6 + 0.2)
    assert h.item() == pytest.approx((1 - z) * math.tanh(1.6 + r * 0.6 + 0.3) + z * -0.6)


@pytest.mark.parametrize("is_fused", [False, True])
@pytest.mark.parametrize(("kind", "peer"), FAMILIES)
def test_outputs_and_gradients_are_those_of_torchs_module(
    kind: type[RecurrentLayer], peer: type[nn.RNNBase], is_fused: bool
) -> None:
    torch.manual_seed(0)
    layer = kind(6, is_fused=is_fused).double()
    nn.init.normal_(layer.b)
    module = peer(6, 6, batch_first=True).double()
    with torch.no_grad():
        for own, theirs in zip(layer.torch_weights, module.parameters(), strict=True):
            theirs.copy_(own)
    x = torch.randn(3, 9, 6, dtype=torch.float64)
    state = [torch.randn(3, 6, dtype=torch.float64, requires_grad=True) for _ in range(kind.memories)]
    given = tuple(memory[None] for memory in state)
    expected, last = module(x, given if kind is LSTM else given[0])
    found, after = layer(x, state)
    upstream = torch.randn_like(expected)
    last = last if kind is LSTM else (last,)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for own, theirs in zip(after, last, strict=True):
        torch.testing.assert_close(own, theirs[0], rtol=1e-12, atol=1e-12)

    wanted = torch.autograd.grad(expected, [module.weight_ih_l0, module.weight_hh_l0, module.bias_ih_l0, *state], upstream)
    gradients = torch.autograd.grad(found, [layer.w_x.weight, layer.w_h.weight, layer.b, *state], upstream)
    for own, theirs in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_fused_twin_agrees_in_single_precision(kind: type[RecurrentLayer]) -> None:
    """On a CPU the kernel for single precision is another than that for double."""
    layer = kind(32)
    x, state = torch.randn(4, 20, 32), [torch.randn(4, 32) for _ in range(kind.memories)]
    found, after = layer.fused(x, state)
    expected, last = layer(x, state)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(tuple(after), tuple(last))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("gain", [0.5, 1.5])
def test_orthogonal_matrices_have_the_gain_as_all_their_singular_values(kind: type[RecurrentLayer], gain: float) -> None:
    layer = kind(16, "orthogonal", gain)
    for part in layer.w_h.weight.chunk(kind.gates):
        torch.testing.assert_close(torch.linalg.svdvals(part), torch.full((16,), gain))


def test_normal_matrices_have_the_gain_as_their_spectral_radius_and_twice_it_as_their_norm() -> None:
    """The circular law, and the edge of the quarter-circular law."""
    torch.manual_seed(0)
    weight = RNN(400, "normal", 1.5).w_h.weight.detach()
    assert torch.linalg.eigvals(weight).abs().max().item() == pytest.approx(1.5, rel=0.1)
    assert torch.linalg.svdvals(weight)[0].item() == pytest.approx(3.0, rel=0.05)


def test_the_forget_gate_starts_open() -> None:
    bias = LSTM(5, forget_bias=1.5).b.detach()
    assert bias.tolist() == [0.0] * 5 + [1.5] * 5 + [0.0] * 10
