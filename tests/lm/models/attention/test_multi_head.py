"""Multi-head attention against torch.nn, and shared key-value heads against attention without sharing."""

import pytest
import torch
from torch import Tensor

from stages.lm.models.attention.caches import KVCache, MemoryCache
from stages.lm.models.attention.multi_head import MultiHeadAttention, MultiHeadSelfAttention
from stages.lm.models.attention.pattern import Pattern, Segments
from stages.lm.models.block_settings import BlockSettings
from stages.lm.models.kernels import FAST, REFERENCE, Kernels
from stages.lm.models.positions import RotaryEmbedding


def copied(attention: MultiHeadAttention) -> torch.nn.MultiheadAttention:
    """torch's module with the same weights, biases drawn at random into both."""
    bias = attention.q_proj.bias is not None
    peer = torch.nn.MultiheadAttention(attention.output_proj.weight.shape[0], attention.num_heads, bias=bias, batch_first=True)
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        peer.out_proj.weight.copy_(attention.output_proj.weight)
        if bias:
            for part in [*parts, attention.output_proj]:
                part.bias.normal_()  # type: ignore[union-attr]
            peer.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))  # type: ignore[arg-type, misc]
            peer.out_proj.bias.copy_(attention.output_proj.bias)
    return peer


@pytest.mark.parametrize("kernels", [REFERENCE, FAST], ids=["reference", "fast"])
@pytest.mark.parametrize("bias", [False, True])
def test_causal_self_attention_is_torchs(kernels: Kernels, bias: bool) -> None:
    attention, x = MultiHeadSelfAttention(12, 3, kernels=kernels, options=BlockSettings(bias=bias)), torch.randn(2, 5, 12)
    expected, _ = copied(attention)(x, x, x, attn_mask=torch.ones(5, 5, dtype=torch.bool).triu(1), need_weights=False)
    torch.testing.assert_close(attention(x), expected)


@pytest.mark.parametrize("kernels", [REFERENCE, FAST], ids=["reference", "fast"])
def test_cross_attention_with_padding_is_torchs(kernels: Kernels) -> None:
    attention = MultiHeadAttention(12, 3, kernels=kernels, pattern=Pattern(causal=False), options=BlockSettings(bias=True))
    x, memory = torch.randn(2, 4, 12), torch.randn(2, 6, 12)
    text = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    expected, _ = copied(attention)(x, memory, memory, key_padding_mask=text == 0, need_weights=False)
    segments = Segments(torch.ones(2, 4, dtype=torch.long), text)
    torch.testing.assert_close(attention.across(x, memory, segments=segments), expected)


def test_shared_key_value_heads_are_equal_heads() -> None:
    torch.manual_seed(0)
    grouped = MultiHeadSelfAttention(12, 6, options=BlockSettings(kv_heads=2, d_head=4))
    full = MultiHeadSelfAttention(12, 6, options=BlockSettings(d_head=4))
    assert grouped.k_proj.weight.shape == grouped.v_proj.weight.shape == (8, 12)
    with torch.no_grad():
        full.q_proj.weight.copy_(grouped.q_proj.weight)
        full.output_proj.weight.copy_(grouped.output_proj.weight)
        for name in ("k_proj", "v_proj"):  # heads 0, 1, 2 read the first of the two, heads 3, 4, 5 the second
            one, two = grouped.get_submodule(name).weight.split(4)  # type: ignore[operator, union-attr]
            full.get_submodule(name).weight.copy_(torch.cat([one] * 3 + [two] * 3))  # type: ignore[operator, union-attr]
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(grouped(x), full(x))


def test_normed_queries_and_keys_do_not_feel_their_projections_size() -> None:
    attention, x = (
        MultiHeadSelfAttention(12, 3, options=BlockSettings(qk_norm=True)).double(),
        torch.randn(2, 5, 12, dtype=torch.float64),
    )
    before = attention(x)
    with torch.no_grad():
        attention.q_proj.weight *= 1e3
        attention.k_proj.weight *= 1e3
    torch.testing.assert_close(attention(x), before, rtol=1e-3, atol=1e-3)  # but for eps
    with torch.no_grad():
        attention.q_norm.weight *= 7  # type: ignore[union-attr]
    assert not torch.allclose(attention(x), before, rtol=1e-2, atol=1e-2)


def test_caches_hold_the_shared_heads_alone_and_change_nothing() -> None:
    rope = RotaryEmbedding(100.0, 4, 8)
    attention, x = MultiHeadSelfAttention(12, 6, rope, options=BlockSettings(kv_heads=2, d_head=4)), torch.randn(2, 8, 12)
    cache = KVCache(2, 2, 8, 4, x.device, x.dtype)
    pieces = [attention(x[:, a:b], torch.arange(a, b), cache) for a, b in ((0, 5), (5, 6), (6, 8))]
    torch.testing.assert_close(torch.cat(pieces, dim=1), attention(x))


def test_a_memorys_keys_are_computed_once_and_follow_their_rows() -> None:
    attention = MultiHeadAttention(8, 2, pattern=Pattern(causal=False))
    x, memory, cache = torch.randn(2, 3, 8), torch.randn(2, 5, 8), MemoryCache()
    first = attention.across(x, memory, cache)
    nothing: Tensor = torch.full_like(memory, torch.nan)
    torch.testing.assert_close(attention.across(x, nothing, cache), first)
    cache.reorder(torch.tensor([1, 1]))
    torch.testing.assert_close(attention.across(x, nothing, cache)[0], attention.across(x[:1], memory[1:])[0])
