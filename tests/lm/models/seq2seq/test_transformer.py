"""The transformer of Vaswani et al. against torch.nn.Transformer with the same weights."""

import pytest
import torch
from torch import Tensor, nn

from stages.lm.models.block import TransformerBlock
from stages.lm.models.kernels import FAST, REFERENCE, Kernels
from stages.lm.models.seq2seq.settings import TransformerSeq2SeqSettings
from stages.lm.models.seq2seq.transformer import TransformerSeq2Seq

D, HEADS, LAYERS, D_FF, VOCAB = 16, 4, 2, 20, 17
SETTINGS = TransformerSeq2SeqSettings(
    family="transformer-seq2seq", layers=LAYERS, heads=HEADS, d_model=D, d_ff=D_FF, context_length=16
)


def drawn(kernels: Kernels = FAST) -> TransformerSeq2Seq:
    """A model in evaluation mode whose norms and biases are random too, so that none can be forgotten."""
    torch.manual_seed(0)
    model = TransformerSeq2Seq(SETTINGS, VOCAB, kernels).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln" in name or "bias" in name:
                parameter.normal_()
    return model


@torch.no_grad()
def torchs(model: TransformerSeq2Seq) -> nn.Transformer:
    """torch's encoder and decoder with the weights of `model`; its final norms, which the paper has not, are left out."""
    peer = nn.Transformer(D, HEADS, LAYERS, LAYERS, D_FF, dropout=0.0, batch_first=True).eval()
    peer.encoder.enable_nested_tensor = False  # type: ignore[assignment]
    peer.encoder.norm = peer.decoder.norm = None  # type: ignore[assignment]

    def copy_attention(block: nn.Module, layer: nn.Module) -> None:
        parts = [block.q_proj, block.k_proj, block.v_proj]
        layer.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))  # type: ignore[operator, arg-type, misc, union-attr]
        layer.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))  # type: ignore[operator, arg-type, misc, union-attr]
        layer.out_proj.load_state_dict(block.output_proj.state_dict())  # type: ignore[operator, union-attr]

    def copy(block: TransformerBlock, layer: nn.Module, norms: list[str]) -> None:
        copy_attention(block.attn, layer.self_attn)  # type: ignore[arg-type]
        ours = [block.ln1, *([block.ln_cross] if hasattr(block, "ln_cross") else []), block.ln2]
        for norm, name in zip(ours, norms, strict=True):
            getattr(layer, name).load_state_dict(norm.state_dict())
        layer.linear1.load_state_dict(block.ffn.w1.state_dict())  # type: ignore[operator, union-attr]
        layer.linear2.load_state_dict(block.ffn.w2.state_dict())  # type: ignore[operator, union-attr]

    for block, layer in zip(model.encoder, peer.encoder.layers, strict=True):
        copy(block, layer, ["norm1", "norm2"])  # type: ignore[arg-type]
    for block, layer in zip(model.decoder, peer.decoder.layers, strict=True):
        copy(block, layer, ["norm1", "norm2", "norm3"])  # type: ignore[arg-type]
        copy_attention(block.cross_attn, layer.multihead_attn)  # type: ignore[arg-type]
    return peer


def positions(length: int) -> Tensor:
    """PE of section 3.5, one number after the other."""
    table = torch.empty(length, D, dtype=torch.float64)
    for p in range(length):
        for i in range(D // 2):
            angle = torch.tensor(p / 10000 ** (2 * i / D), dtype=torch.float64)
            table[p, 2 * i], table[p, 2 * i + 1] = angle.sin(), angle.cos()
    return table.float()


@pytest.mark.parametrize("kernels", [REFERENCE, FAST], ids=["reference", "fast"])
@torch.no_grad()
def test_it_is_torchs_transformer(kernels: Kernels) -> None:
    model = drawn(kernels)
    peer = torchs(model)
    source, target = torch.randint(VOCAB, (4, 7)), torch.randint(VOCAB, (4, 6))
    lengths = torch.tensor([7, 3, 5, 1])
    hidden = torch.arange(7) >= lengths[:, None]
    vectors = model.token_embeddings.weight
    read, written = (vectors[ids] * D**0.5 + positions(ids.shape[1]) for ids in (source, target))
    causal = nn.Transformer.generate_square_subsequent_mask(6)
    expected = peer(
        read, written, tgt_mask=causal, src_key_padding_mask=hidden, memory_key_padding_mask=hidden, tgt_is_causal=True
    )
    torch.testing.assert_close(model(source, lengths, target), expected @ vectors.T, rtol=1e-4, atol=1e-5)


def test_word_vectors_are_the_output_layer() -> None:
    names = [name for name, _ in drawn().named_parameters() if "encoder" not in name and "decoder" not in name]
    assert names == ["token_embeddings.weight"]
