"""BERT against torch's own encoder, by heart, and with padding; how tokens are hidden is in tests/lm/training/test_masked.py."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stages.lm.accounting import bert as accounting
from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.bert.model import IGNORED, BertLM, mask_id
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.kernels import REFERENCE
from stages.lm.models.settings import ModelSettings
from stages.lm.settings import parse

VOCAB, LENGTH = 23, 10
SMALL = {"family": "bert", "layers": 2, "heads": 2, "d_model": 16, "d_ff": 24, "context_length": LENGTH, "dropout": 0.0}


def settings(**changes: object) -> BertSettings:
    found: BertSettings = parse(ModelSettings, SMALL | changes, "model")
    return found


def build(**changes: object) -> BertLM:
    model = registry.build(settings(**changes), VOCAB, seed=1)
    assert isinstance(model, BertLM)
    return model


def drawn(model: BertLM) -> BertLM:
    """Norms, biases and token vectors at random too, so that none can be forgotten."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln" in name or "bias" in name or "embeddings" in name:
                parameter.normal_()
    return model


@torch.no_grad()
def peer_of(model: BertLM) -> nn.TransformerEncoder:
    """torch's encoder with the same weights."""
    layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, activation="gelu", batch_first=True, layer_norm_eps=1e-12)
    peer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    for ours, theirs in zip(model.layers, peer.layers, strict=True):
        block: Any = ours
        copy: Any = theirs
        attention = block.attn
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        copy.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        copy.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        copy.self_attn.out_proj.load_state_dict(attention.output_proj.state_dict())
        for name, part in (("norm1", block.ln1), ("norm2", block.ln2), ("linear1", block.ffn.w1), ("linear2", block.ffn.w2)):
            getattr(copy, name).load_state_dict(part.state_dict())
    return peer


@torch.no_grad()
def test_it_is_torchs_encoder_with_the_same_weights() -> None:
    model = drawn(build())
    ids = torch.randint(VOCAB + 1, (3, LENGTH))
    positions: Any = model.positions
    embedded = nn.functional.embedding(ids, model.token_embeddings.weight) + positions.weight
    norm: Any = model.ln_embeddings
    embedded = nn.functional.layer_norm(embedded, (16,), norm.weight, norm.bias, 1e-12)
    expected = peer_of(model)(embedded)
    torch.testing.assert_close(model(ids), expected, rtol=1e-5, atol=1e-5)

    final: Any = model.ln_transform
    x = nn.functional.gelu(nn.functional.linear(expected, model.transform.weight, model.transform.bias))
    x = nn.functional.layer_norm(x, (16,), final.weight, final.bias, 1e-12)
    logits = nn.functional.linear(x, model.token_embeddings.weight[:VOCAB], model.output_bias)
    targets = torch.full_like(ids, IGNORED)
    targets[0, 3], targets[2, 0], targets[2, 9] = 4, 0, 22
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(model.total_loss(ids, targets), loss, rtol=1e-5, atol=1e-5)
    at = model.log_probs_at(ids, torch.tensor([3, 5, 9]))
    torch.testing.assert_close(at, logits[[0, 1, 2], [3, 5, 9]].log_softmax(-1), rtol=1e-5, atol=1e-5)


def test_it_learns_a_batch_by_heart() -> None:
    model = build()
    ids = torch.randint(VOCAB, (4, LENGTH), generator=torch.Generator().manual_seed(0))
    targets = torch.full_like(ids, IGNORED)
    targets[:, ::3] = ids[:, ::3]
    hidden = torch.where(targets == IGNORED, ids, mask_id(VOCAB))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        loss = model.total_loss(hidden, targets) / 16
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.01


@pytest.mark.parametrize("position", ["learned", "rope", "sinusoidal", "none"])
def test_padding_and_other_documents_change_nothing(position: str) -> None:
    """The first six tokens in a window with others, apart from them, and alone: the same loss and the same gradients."""
    model = drawn(build(position=position)).double()
    ids = torch.randint(VOCAB, (2, 6))
    targets = torch.full_like(ids, IGNORED)
    targets[:, 2], targets[1, 5] = 7, 8

    def measured(*batch: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        model.zero_grad()
        loss = model.total_loss(*batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    alone = measured(ids, targets)
    wide_targets = nn.functional.pad(targets, (0, 4), value=IGNORED)
    segments = torch.tensor([[0] * 6 + [1] * 4] * 2)
    for filler in (0, 9):
        torch.testing.assert_close(measured(nn.functional.pad(ids, (0, 4), value=filler), wide_targets, segments), alone)
    together = model.total_loss(nn.functional.pad(ids, (0, 4), value=9), wide_targets)
    assert not torch.isclose(together, alone[0])


def test_both_directions_are_seen() -> None:
    model = drawn(build()).eval()
    ids = torch.randint(VOCAB, (1, LENGTH))
    for place in (0, LENGTH - 1):
        changed = ids.clone()
        changed[0, place] = (ids[0, place] + 1) % VOCAB
        assert not torch.allclose(model(ids)[0, 4], model(changed)[0, 4])


def test_weights_come_back(tmp_path: Path) -> None:
    model = drawn(build()).eval()
    model.save(tmp_path)
    ids = torch.randint(VOCAB + 1, (2, LENGTH))
    assert torch.equal(BertLM.load(tmp_path, settings(), VOCAB).eval()(ids), model(ids))


def test_attention_from_left_to_right_is_refused() -> None:
    with pytest.raises(UserError, match="use full, sliding or strided for bert"):
        settings(attention="linear")


@pytest.mark.parametrize(
    "changes",
    [{}, {"position": "rope", "norm": "rms", "norm_position": "pre", "feed_forward": "swiglu", "bias": False}, {"kv_heads": 1}],
    ids=["paper", "later", "shared"],
)
def test_parameters_and_operations(changes: dict[str, object]) -> None:
    described = settings(**changes)
    assert sum(accounting.parameters(described, VOCAB).values()) == build(**changes).num_parameters()
    model = BertLM(described, VOCAB, REFERENCE)
    targets = torch.full((3, LENGTH), IGNORED)
    targets[:, :2] = 1
    with FlopCounterMode(display=False) as counter:
        model.total_loss(torch.zeros(3, LENGTH, dtype=torch.long), targets)
    assert counter.get_total_flops() == 3 * sum(accounting.forward_flops(described, VOCAB, LENGTH, 2).values())


def test_bert_base_has_110_million_parameters() -> None:
    """Devlin et al. 2019, section 3, with the 30,000 word pieces of section 3.1."""
    base = settings(layers=12, heads=12, d_model=768, d_ff=3072, context_length=512)
    assert sum(accounting.parameters(base, 30_000).values()) == pytest.approx(110e6, rel=0.02)
