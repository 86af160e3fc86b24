"""Layers against torch.nn, where the definitions coincide."""

import pytest
import torch
from torch.nn import functional as F

from stages.lm.models.functional import causal_mask, rms_norm, scaled_dot_product_attention, silu, softmax
from stages.lm.models.kernels import FAST, REFERENCE
from stages.lm.models.layers import Embedding, Linear, RMSNorm, SiLUFeedForward, SwiGLU


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


def test_rms_norm_squares_half_precision_in_float32() -> None:
    x = torch.tensor([[300.0, 400.0]], dtype=torch.float16)  # 400^2 overflows float16
    normed = rms_norm(x, torch.ones(2), 0.0)
    assert normed.dtype == torch.float16
    torch.testing.assert_close(normed.float(), torch.tensor([[300.0, 400.0]]) / 353.5534, rtol=1e-3, atol=0)


def test_silu_and_softmax_are_torchs() -> None:
    x = torch.randn(4, 7)
    torch.testing.assert_close(silu(x), F.silu(x))
    torch.testing.assert_close(softmax(x, dim=0), torch.softmax(x, dim=0))


def test_softmax_does_not_overflow() -> None:
    torch.testing.assert_close(softmax(torch.tensor([1e4, 1e4, -1e4]), dim=0), torch.tensor([0.5, 0.5, 0.0]))


def test_feed_forward_networks_by_their_formulas() -> None:
    x = torch.randn(2, 6)
    gated, plain = SwiGLU(6, 10), SiLUFeedForward(6, 10)
    w1, w2, w3 = gated.w1.weight, gated.w2.weight, gated.w3.weight
    torch.testing.assert_close(gated(x), (F.silu(x @ w1.T) * (x @ w3.T)) @ w2.T)
    torch.testing.assert_close(plain(x), F.silu(x @ plain.w1.weight.T) @ plain.w2.weight.T)


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


def test_causal_mask_by_hand() -> None:
    assert causal_mask(2, 3).tolist() == [[True, True, False], [True, True, True]]


@pytest.mark.parametrize("lengths", [(6, 6), (1, 6), (3, 6), (600, 600), (3, 600), (1, 600)])
def test_fast_attention_agrees_with_the_definition(lengths: tuple[int, int]) -> None:
    queries, keys = lengths
    tensors = [torch.randn(2, 2, n, 8, dtype=torch.float64, requires_grad=True) for n in (queries, keys, keys)]
    reference, fast = REFERENCE.causal_attention(*tensors), FAST.causal_attention(*tensors)
    torch.testing.assert_close(fast, reference)
    weight = torch.randn_like(reference)
    for expected, found in zip(
        torch.autograd.grad((reference * weight).sum(), tensors), torch.autograd.grad((fast * weight).sum(), tensors), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_other_fast_kernels_agree_with_their_definitions() -> None:
    x, weight, angle = torch.randn(2, 5, 8), torch.rand(8), torch.randn(5, 4)
    torch.testing.assert_close(FAST.silu(x), REFERENCE.silu(x))
    torch.testing.assert_close(FAST.rms_norm(x, weight, 1e-5), REFERENCE.rms_norm(x, weight, 1e-5))
    torch.testing.assert_close(
        FAST.rotate_pairs(x, angle.cos(), angle.sin()), REFERENCE.rotate_pairs(x, angle.cos(), angle.sin())
    )
