"""The recurrent language models: causality, carried state, decoding, learning, saving."""

from pathlib import Path
from typing import Any

import pytest
import torch

from stages.lm.models import registry
from stages.lm.models.interface import LanguageModel
from stages.lm.models.recurrent import language_model
from stages.lm.models.recurrent.gru import GruLM
from stages.lm.models.recurrent.language_model import RecurrentLM
from stages.lm.models.recurrent.lstm import LstmLM
from stages.lm.models.recurrent.rnn import RnnLM
from stages.lm.models.recurrent.settings import GruSettings, LstmSettings, RecurrentSettings, RnnSettings

VOCAB = 17
FAMILIES = ["rnn", "lstm", "gru"]
MODELS: dict[str, type[RecurrentLM]] = {"rnn": RnnLM, "lstm": LstmLM, "gru": GruLM}
SETTINGS: dict[str, type[RecurrentSettings]] = {"rnn": RnnSettings, "lstm": LstmSettings, "gru": GruSettings}


def settings(family: str, **changes: object) -> Any:
    values: dict[str, object] = {"family": family, "layers": 2, "d_model": 12, "context_length": 8}
    return SETTINGS[family].model_validate(values | changes)


def small(family: str, is_fused: bool = True, **changes: object) -> RecurrentLM:
    torch.manual_seed(0)
    return MODELS[family].from_settings(settings(family, **changes), VOCAB, is_fused).double()


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(VOCAB, (batch, length), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("family", FAMILIES)
def test_fused_and_stepwise_models_have_the_same_loss_and_gradients(family: str) -> None:
    reference, fused = small(family, is_fused=False), small(family)
    batch = ids(3, 20)
    expected, found = reference.total_loss(batch), fused.total_loss(batch)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for own, theirs in zip(
        torch.autograd.grad(found, list(fused.parameters())),
        torch.autograd.grad(expected, list(reference.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(own, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_future_has_no_influence_and_all_of_the_past_has(family: str) -> None:
    model, first = small(family), ids(1, 30)
    second, third = first.clone(), first.clone()
    second[0, 20:] = (second[0, 20:] + 1) % VOCAB
    third[0, 0] = (third[0, 0] + 1) % VOCAB
    torch.testing.assert_close(model(first)[:, :20], model(second)[:, :20], rtol=0, atol=0)
    assert not torch.equal(model(first)[:, -1], model(third)[:, -1])


@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_with_carried_state_add_up_to_the_whole(family: str) -> None:
    model, batch = small(family), ids(3, 25)
    carry, total = model.carry(3), 0.0
    for start in range(0, 24, 8):
        loss, carry = model.total_loss(batch[:, start : start + 9], *carry)
        total += loss.item()
    assert [state.shape for state in carry] == [(3, 2, 12)] * (2 if family == "lstm" else 1)
    assert total == pytest.approx(model.total_loss(batch).item(), rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probs_are_the_softmax_of_the_logits_however_the_text_is_cut(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = small(family), ids(2, 23)
    expected = torch.log_softmax(model(batch[:, :-1]), -1).gather(-1, batch[:, 1:, None]).squeeze(-1)
    for piece in (5, 22, 100):
        monkeypatch.setattr(language_model, "PIECE", piece)
        torch.testing.assert_close(model.token_log_probs(batch), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(-expected.sum(), model.total_loss(batch))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("parts", [[1] * 8, [3, 5], [2, 1] * 5])
def test_reading_piece_by_piece_gives_what_reading_at_once_gives(family: str, parts: list[int]) -> None:
    model, batch = small(family), ids(2, 30)
    state, read = model.start(2), 0
    for part in parts:
        found = model.advance(state, batch[:, read : read + part])
        read += part
        expected = torch.log_softmax(model(batch[:, :read])[:, -1], -1)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert sum(memory.numel() for memory in state.carry) == 2 * 2 * 12 * (2 if family == "lstm" else 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_batch_is_learned_by_heart(family: str) -> None:
    model, batch = small(family, d_model=32).float(), ids(4, 17)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.total_loss(batch) / 64
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_model_comes_back_exactly(tmp_path: Path, family: str, tied: bool) -> None:
    described = settings(family, tie_embeddings=tied)
    model = registry.build(described, VOCAB, seed=3)
    about = {"family": family, "settings": described, "vocab_size": VOCAB, "end_of_text": 0, "tokenizer": "a", "tokens": "b"}
    registry.save(model, registry.ModelDescription.model_validate(about), tmp_path)
    loaded = registry.load(tmp_path)
    assert isinstance(loaded, LanguageModel)
    assert loaded.context_length is None
    assert torch.equal(loaded.token_log_probs(ids(2, 9)), model.token_log_probs(ids(2, 9)))
    assert model.num_parameters() == small(family).num_parameters() - 12 * VOCAB * tied
