"""Layers against torch.nn, where the definitions coincide."""

import pytest
import torch
from torch.nn import functional as F

from stages.lm.models.feed_forward import FeedForward, SwiGLU, build_feed_forward
from stages.lm.models.functional import gelu, relu, rms_norm, scaled_dot_product_attention, silu, softmax
from stages.lm.models.kernels import FAST, REFERENCE
from stages.lm.models.layers import Dropout, Embedding, Linear
from stages.lm.models.norms import LayerNorm, RMSNorm


def test_linear_is_torch_linear_without_bias() -> None:
    layer, x = Linear(5, 3), torch.randn(2, 4, 5)
    assert layer.weight.shape == (3, 5)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight))


def test_initialisation_follows_the_stated_distributions() -> None:
    torch.manual_seed(0)
    linear, embedding = Linear(300, 500).weight, Embedding(400, 300).weight
    sigma = (2 / 800) ** 0.5
    assert linear.std().item() == pytest.approx(sigma * 0.9866, rel=0.01)  # a normal cut at 3 sigma has 0.9866 of its deviation
    assert linear.abs().max() <= 3 * sigma
    assert embedding.std().item() == pytest.approx(0.9866, rel=0.01)
    assert embedding.abs().max() <= 3


def test_embedding_picks_rows_and_is_trained() -> None:
    layer = Embedding(10, 4)
    ids = torch.tensor([[1, 9], [1, 0]])
    torch.testing.assert_close(layer(ids), F.embedding(ids, layer.weight))
    layer(ids).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad[1].tolist() == [2.0] * 4


def test_rms_norm_is_torch_rms_norm() -> None:
    layer, x = RMSNorm(8, eps=1e-3), torch.randn(3, 8)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
    torch.testing.assert_close(layer(x), F.rms_norm(x, (8,), layer.weight, 1e-3))


def test_layer_norm_is_torch_layer_norm() -> None:
    layer, x = LayerNorm(8, eps=1e-3), 3 + torch.randn(3, 8)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
        layer.bias.uniform_(-1, 1)
    torch.testing.assert_close(layer(x), F.layer_norm(x, (8,), layer.weight, layer.bias, 1e-3))


def test_rms_norm_squares_half_precision_in_float32() -> None:
    x = torch.tensor([[300.0, 400.0]], dtype=torch.float16)  # 400^2 overflows float16
    normed = rms_norm(x, torch.ones(2), 0.0)
    assert normed.dtype == torch.float16
    torch.testing.assert_close(normed.float(), torch.tensor([[300.0, 400.0]]) / 353.5534, rtol=1e-3, atol=0)


def test_activations_and_softmax_are_torchs() -> None:
    x = torch.randn(4, 7)
    torch.testing.assert_close(relu(x), F.relu(x))
    torch.testing.assert_close(gelu(x), F.gelu(x))
    torch.testing.assert_close(silu(x), F.silu(x))
    torch.testing.assert_close(softmax(x, dim=0), torch.softmax(x, dim=0))


def test_softmax_does_not_overflow() -> None:
    torch.testing.assert_close(softmax(torch.tensor([1e4, 1e4, -1e4]), dim=0), torch.tensor([0.5, 0.5, 0.0]))


def test_feed_forward_networks_by_their_formulas() -> None:
    x = torch.randn(2, 6)
    gated, plain = SwiGLU(6, 10), FeedForward(6, 10, activation="silu")
    w1, w2, w3 = gated.w1.weight, gated.w2.weight, gated.w3.weight
    torch.testing.assert_close(gated(x), (F.silu(x @ w1.T) * (x @ w3.T)) @ w2.T)
    torch.testing.assert_close(plain(x), F.silu(x @ plain.w1.weight.T) @ plain.w2.weight.T)


@pytest.mark.parametrize("kind", ["relu", "gelu", "silu"])
def test_plain_feed_forward_networks_with_biases_are_two_linear_layers_of_torch(kind: str) -> None:
    network, x = build_feed_forward(kind, 6, 10, True, FAST), torch.randn(2, 6)
    assert network.w1.bias is not None
    assert network.w2.bias is not None
    with torch.no_grad():
        network.w1.bias.normal_()
        network.w2.bias.normal_()
    inner = getattr(F, kind)(F.linear(x, network.w1.weight, network.w1.bias))
    torch.testing.assert_close(network(x), F.linear(inner, network.w2.weight, network.w2.bias))


def test_geglu_gates_by_gelu() -> None:
    network, x = build_feed_forward("geglu", 6, 10, False, FAST), torch.randn(2, 6)
    w1, w2, w3 = (network.get_parameter(f"w{i}.weight") for i in (1, 2, 3))
    torch.testing.assert_close(network(x), (F.gelu(x @ w1.T) * (x @ w3.T)) @ w2.T)


def test_dropout_zeroes_its_share_keeps_the_mean_and_rests_when_not_training() -> None:
    torch.manual_seed(0)
    layer, x = Dropout(0.25), torch.ones(100_000)
    dropped = layer(x)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (dropped == 0).double().mean().item() == pytest.approx(0.25, abs=0.005)  # 3.7 standard deviations
    assert torch.equal(layer.eval()(x), x)


def test_attention_is_torchs_with_any_leading_dimensions_and_mask() -> None:
    query, key, value = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8), torch.randn(2, 3, 7, 4)
    mask = torch.rand(5, 7) < 0.5
    mask[:, 0] = True
    torch.testing.assert_close(
        scaled_dot_product_attention(query, key, value, mask), F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    )


def test_attention_ignores_what_the_mask_hides() -> None:
    query, key, value = torch.randn(1, 4), torch.randn(3, 4), torch.randn(3, 2)
    only_second = torch.tensor([[False, True, False]])
    torch.testing.assert_close(scaled_dot_product_attention(query, key, value, only_second), value[1:2])


def test_other_fast_kernels_agree_with_their_definitions() -> None:
    x, weight, angle = torch.randn(2, 5, 8), torch.rand(8), torch.randn(5, 4)
    for name in ("relu", "gelu", "silu"):
        torch.testing.assert_close(FAST.activation(name)(x), REFERENCE.activation(name)(x))
    torch.testing.assert_close(FAST.layer_norm(x, weight, weight, 1e-5), REFERENCE.layer_norm(x, weight, weight, 1e-5))
    torch.testing.assert_close(FAST.rms_norm(x, weight, 1e-5), REFERENCE.rms_norm(x, weight, 1e-5))
    torch.testing.assert_close(
        FAST.rotate_pairs(x, angle.cos(), angle.sin()), REFERENCE.rotate_pairs(x, angle.cos(), angle.sin())
    )
