"""The recurrent translator from the equations of Bahdanau et al. 2015, one sentence, one position and one number at a time."""

import math

import pytest
import torch
from torch import Tensor

from stages.lm.models.seq2seq.recurrent import AdditiveAttention, RnnSeq2Seq
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings

SETTINGS = RnnSeq2SeqSettings(family="rnn-seq2seq", d_model=6, context_length=16)
VOCAB = 11


def drawn(is_fused: bool = True) -> RnnSeq2Seq:
    torch.manual_seed(0)
    model = RnnSeq2Seq(SETTINGS, VOCAB, is_fused).eval().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".b"):
                parameter.normal_()
    return model


def test_additive_attention_worked_by_hand() -> None:
    """W = (1), U = (2 0), v = (3), s = 0.5: the scores of h = (0 1), (1 2) are 3 tanh 0.5 and 3 tanh 2.5."""
    attention = AdditiveAttention(1, 2, 1)
    with torch.no_grad():
        attention.w.weight.fill_(1.0)
        attention.u.weight.copy_(torch.tensor([[2.0, 0.0]]))
        attention.v.weight.fill_(3.0)
    annotations = torch.tensor([[[0.0, 1.0], [1.0, 2.0], [9.0, 9.0]]])
    hidden = torch.tensor([[False, False, True]])
    context, weights = attention(torch.tensor([[0.5]]), attention.keys(annotations), annotations, hidden)
    first, second = math.exp(3 * 0.46211716), math.exp(3 * 0.98661430)
    alpha = second / (first + second)
    assert weights[0].tolist() == pytest.approx([1 - alpha, alpha, 0.0], rel=1e-5)
    assert context[0].tolist() == pytest.approx([alpha, 1 - alpha + 2 * alpha], rel=1e-5)


def gru(weights: tuple[Tensor, Tensor, Tensor], x: Tensor, h: Tensor) -> Tensor:
    """r, z and n as torch.nn.GRUCell documents them."""
    w_x, w_h, b = weights
    x_r, x_z, x_n = (w_x @ x + b).chunk(3)
    h_r, h_z, h_n = (w_h @ h).chunk(3)
    z = torch.sigmoid(x_z + h_z)
    return (1 - z) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n) + z * h


def by_loops(model: RnnSeq2Seq, source: list[int], target: list[int]) -> tuple[Tensor, Tensor]:
    """Logits (m, vocab) and attention weights (m, n) of one pair."""
    p = dict(model.named_parameters())
    read, back, write = ((p[f"{name}.w_x.weight"], p[f"{name}.w_h.weight"], p[f"{name}.b"])
                         for name in ("forwards", "backwards", "decoder"))  # fmt: skip
    vectors = p["token_embeddings.weight"]
    d, n = vectors.shape[1], len(source)
    after, before = [torch.zeros(d).double()], [torch.zeros(d).double()]
    for j in range(n):
        after.append(gru(read, vectors[source[j]], after[-1]))
        before.append(gru(back, vectors[source[n - 1 - j]], before[-1]))
    annotations = [torch.cat((after[j + 1], before[n - j])) for j in range(n)]
    s = torch.tanh(p["first_state.weight"] @ before[n])
    logits, alignment = [], []
    for word in target:
        scores = torch.stack([
            p["attention.v.weight"][0] @ torch.tanh(p["attention.w.weight"] @ s + p["attention.u.weight"] @ h)
            for h in annotations
        ])  # fmt: skip
        alpha = torch.exp(scores) / torch.exp(scores).sum()
        context = sum(a * h for a, h in zip(alpha, annotations, strict=True))
        y = vectors[word]
        s = gru(write, torch.cat((y, context)), s)
        pairs = p["readout.weight"] @ torch.cat((s, y, context))
        maxout = torch.stack([max(pairs[2 * k], pairs[2 * k + 1]) for k in range(d)])
        logits.append(p["lm_head.weight"] @ maxout)
        alignment.append(alpha)
    return torch.stack(logits), torch.stack(alignment)


@pytest.mark.parametrize("is_fused", [True, False])
@torch.no_grad()
def test_it_is_the_papers_equations(is_fused: bool) -> None:
    model = drawn(is_fused)
    source, lengths = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0]]), torch.tensor([5, 3])
    target = torch.tensor([[0, 5, 3, 5], [0, 8, 9, 7]])
    logits, alignment = model(source, lengths, target), model.alignment(source, lengths, target)
    for row, length in enumerate(lengths.tolist()):
        expected, weights = by_loops(model, source[row, :length].tolist(), target[row].tolist())
        torch.testing.assert_close(logits[row], expected)
        torch.testing.assert_close(alignment[row, :, :length], weights)
    assert alignment[1, :, 3:].eq(0).all()
