"""Blocks as the originals have them, against torch's encoder and decoder layers with the same weights."""

from typing import Any

import pytest
import torch

from stages.lm.models.attention.multi_head import MultiHeadAttention
from stages.lm.models.attention.pattern import Segments
from stages.lm.models.block import Memory, TransformerBlock
from stages.lm.models.block_settings import BlockSettings
from stages.lm.models.kernels import FAST, REFERENCE, Kernels

D, HEADS, D_FF = 12, 3, 20
BOTH = pytest.mark.parametrize("kernels", [REFERENCE, FAST], ids=["reference", "fast"])


def original(norm_position: str, feed_forward: str) -> BlockSettings:
    """The options of Vaswani et al. 2017 (post, relu), of GPT-2 (pre, gelu) and of BERT (post, gelu)."""
    values = {"norm": "layer", "norm_position": norm_position, "feed_forward": feed_forward, "bias": True}
    return BlockSettings.model_validate(values)


def drawn(block: TransformerBlock) -> TransformerBlock:
    """Norms and biases at random too, so that none can be forgotten."""
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if "ln" in name or "bias" in name:
                parameter.normal_()
    return block


def copy_attention(ours: MultiHeadAttention, peer: Any) -> None:
    parts = [ours.q_proj, ours.k_proj, ours.v_proj]
    peer.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    peer.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))  # type: ignore[arg-type, misc]
    peer.out_proj.load_state_dict(ours.output_proj.state_dict())


@torch.no_grad()
def copy(block: TransformerBlock, peer: Any, last_norm: str) -> Any:
    copy_attention(block.attn, peer.self_attn)
    peer.norm1.load_state_dict(block.ln1.state_dict())
    getattr(peer, last_norm).load_state_dict(block.ln2.state_dict())
    peer.linear1.load_state_dict(block.ffn.w1.state_dict())
    peer.linear2.load_state_dict(block.ffn.w2.state_dict())
    return peer


@BOTH
@pytest.mark.parametrize(("norm_position", "feed_forward"), [("post", "relu"), ("post", "gelu"), ("pre", "gelu")])
def test_an_encoder_block_is_torchs_encoder_layer(kernels: Kernels, norm_position: str, feed_forward: str) -> None:
    options = original(norm_position, feed_forward)
    block = drawn(TransformerBlock(D, HEADS, D_FF, options=options, kernels=kernels, causal=False))
    peer = torch.nn.TransformerEncoderLayer(
        D, HEADS, D_FF, dropout=0, activation=feed_forward, batch_first=True, norm_first=norm_position == "pre"
    )
    copy(block, peer, "norm2")
    x, text = torch.randn(2, 6, D), torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]])
    found, expected = block(x, segments=Segments.of(text)), peer(x, src_key_padding_mask=text == 0)
    torch.testing.assert_close(found[text == 1], expected[text == 1])


@BOTH
@pytest.mark.parametrize("norm_position", ["post", "pre"])
def test_a_decoder_block_is_torchs_decoder_layer(kernels: Kernels, norm_position: str) -> None:
    options = original(norm_position, "relu")
    block = drawn(TransformerBlock(D, HEADS, D_FF, options=options, kernels=kernels, cross_attention=True))
    peer: Any = torch.nn.TransformerDecoderLayer(D, HEADS, D_FF, dropout=0, batch_first=True, norm_first=norm_position == "pre")
    copy(block, peer, "norm3")
    with torch.no_grad():
        copy_attention(block.cross_attn, peer.multihead_attn)
        peer.norm2.load_state_dict(block.ln_cross.state_dict())
    x, states, text = torch.randn(2, 4, D), torch.randn(2, 6, D), torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]])
    memory = Memory(states, Segments(torch.ones(2, 4, dtype=torch.long), text))
    hidden = torch.ones(4, 4, dtype=torch.bool).triu(1)
    expected = peer(x, states, tgt_mask=hidden, memory_key_padding_mask=text == 0)
    torch.testing.assert_close(block(x, memory=memory), expected)


def test_without_norms_a_block_has_none_and_adds_what_its_halves_give() -> None:
    block = TransformerBlock(D, HEADS, D_FF, options=BlockSettings(norm_position="none"))
    assert not [name for name, _ in block.named_parameters() if name.startswith("ln")]
    x = torch.randn(2, 5, D)
    y = x + block.attn(x)
    torch.testing.assert_close(block(x), y + block.ffn(y))


def test_dropout_falls_on_both_halves_of_a_block_in_training_alone() -> None:
    block, x = TransformerBlock(D, HEADS, D_FF, options=BlockSettings(dropout=0.5)), torch.randn(2, 5, D)
    torch.manual_seed(0)
    first, second = block(x), block(x)
    assert not torch.allclose(first, second)
    block.eval()
    assert torch.equal(block(x), block(x))
