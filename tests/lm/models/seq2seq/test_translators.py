"""What both translators have to do: learn, leave padding alone, decode step by step what they predict at once."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from stages.lm.models import registry
from stages.lm.models.seq2seq.interface import Seq2Seq
from stages.lm.models.settings import ModelSettings
from stages.lm.settings import parse

VOCAB, END = 23, 0
FAMILIES = {
    "transformer-seq2seq": {"layers": 2, "heads": 2, "d_model": 16, "d_ff": 32},
    "rnn-seq2seq": {"d_model": 16},
}
Pairs = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(family: str, **changes: object) -> Seq2Seq:
    values = {"family": family, "context_length": 24, **FAMILIES[family], **changes}
    model = registry.build(parse(ModelSettings, values, "model"), VOCAB, seed=3)
    assert isinstance(model, Seq2Seq)
    return model


def pairs() -> Pairs:
    """Four pairs of random words, of different lengths, padded with end-of-text ids."""
    generator = torch.Generator().manual_seed(1)
    lengths, target_lengths = torch.tensor([6, 3, 5, 2]), torch.tensor([4, 7, 3, 5])
    source = torch.randint(1, VOCAB, (4, 6), generator=generator)
    target = torch.randint(1, VOCAB, (4, 7), generator=generator)
    target[:, 0] = END
    for row in range(4):
        source[row, lengths[row] - 1 :] = END
        target[row, target_lengths[row] - 1 :] = END
    return source, lengths, target, target_lengths


def test_it_overfits_a_batch(family: str) -> None:
    model = build(family, dropout=0.0, label_smoothing=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = pairs()
    predictions = int((batch[3] - 1).sum())
    for _ in range(200):
        optimizer.zero_grad()
        loss = model.total_loss(*batch) / predictions
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.01


def test_the_loss_is_the_sum_over_words(family: str) -> None:
    """From the logits by the definition: -ln softmax at each target, and in training 0.9 of it and 0.1 of the mean of all."""
    model = build(family, dropout=0.0)
    source, lengths, target, target_lengths = pairs()
    log_probs = torch.log_softmax(model(source, lengths, target[:, :-1]), dim=-1)
    plain = smoothed = 0.0
    for row, length in enumerate(target_lengths.tolist()):
        for place in range(1, length):
            here = log_probs[row, place - 1]
            plain -= here[target[row, place]].item()
            smoothed -= 0.9 * here[target[row, place]].item() + 0.1 * here.mean().item()
    model.train()
    assert model.total_loss(*pairs()).item() == pytest.approx(smoothed, rel=1e-5)
    model.eval()
    assert model.total_loss(*pairs()).item() == pytest.approx(plain, rel=1e-5)
    assert -model.token_log_probs(*pairs()).sum().item() == pytest.approx(plain, rel=1e-5)


def test_padding_changes_nothing(family: str) -> None:
    """Other ids in the padding, more of it, or none: the same loss and the same gradients."""
    model = build(family, dropout=0.0).double()

    def measured(batch: Pairs) -> tuple[Tensor, list[Tensor]]:
        model.zero_grad()
        loss = model.total_loss(*batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    source, lengths, target, target_lengths = pairs()
    loss, gradients = measured((source, lengths, target, target_lengths))
    for filler, more in ((5, 0), (7, 4)):
        wide = torch.nn.functional.pad(source, (0, more)), torch.nn.functional.pad(target, (0, more))
        others = [ids.masked_fill(torch.arange(ids.shape[1]) >= kept[:, None], filler)
                  for ids, kept in zip(wide, (lengths, target_lengths), strict=True)]  # fmt: skip
        found, changed = measured((others[0], lengths, others[1], target_lengths))
        torch.testing.assert_close(found, loss)
        torch.testing.assert_close(changed, gradients)
    alone = sum(
        model.total_loss(source[i : i + 1, :n], lengths[i : i + 1], target[i : i + 1, :m], target_lengths[i : i + 1])
        for i, (n, m) in enumerate(zip(lengths.tolist(), target_lengths.tolist(), strict=True))
    )
    torch.testing.assert_close(alone, loss)


def test_the_future_is_not_seen(family: str) -> None:
    model = build(family).eval().double()
    source, lengths, target, _ = pairs()
    changed = target.clone()
    changed[:, 4:] = 9
    before, after = model(source, lengths, target), model(source, lengths, changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_step_by_step_is_all_at_once(family: str) -> None:
    model = build(family).eval().double()
    source, lengths, target, _ = pairs()
    expected = torch.log_softmax(model(source, lengths, target), dim=-1)
    state = model.start(source, lengths)
    for place in range(target.shape[1]):
        torch.testing.assert_close(model.advance(state, target[:, place]), expected[:, place], rtol=1e-12, atol=1e-12)


def test_rows_of_a_state_can_be_chosen(family: str) -> None:
    """Whether rows are repeated before anything is written or later, each goes on from its own source and words."""
    model = build(family).eval().double()
    source, lengths, target, _ = pairs()
    rows = torch.tensor([2, 0, 0, 3, 1])
    expected = torch.log_softmax(model(source[rows], lengths[rows], target[rows]), dim=-1)
    for moment in range(3):
        state = model.start(source, lengths)
        for place in range(4):
            if place == moment:
                state.reorder(rows)
            ids = target[rows, place] if place >= moment else target[:, place]
            log_probs = model.advance(state, ids)
        torch.testing.assert_close(log_probs, expected[:, 3])


def test_dropout_acts_in_training_only(family: str) -> None:
    model = build(family, dropout=0.5, label_smoothing=0.0)
    assert model.total_loss(*pairs()) != model.total_loss(*pairs())
    model.eval()
    assert torch.equal(model.total_loss(*pairs()), model.total_loss(*pairs()))


def test_weights_come_back(family: str, tmp_path: Path) -> None:
    model = build(family).eval()
    model.save(tmp_path)
    settings = parse(ModelSettings, {"family": family, "context_length": 24, **FAMILIES[family]}, "model")
    loaded = type(model).load(tmp_path, settings, VOCAB).eval()
    assert torch.equal(loaded.total_loss(*pairs()), model.total_loss(*pairs()))
