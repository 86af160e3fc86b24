"""The transformer as a whole: names, causality, cache, agreement of its kernels, saving."""

from pathlib import Path

import pytest
import torch

from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.block_settings import BlockSettings
from stages.lm.models.interface import LanguageModel
from stages.lm.models.kernels import FAST, REFERENCE
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.transformer import TransformerLM

VOCAB, CONTEXT = 17, 8


def small(**changes: object) -> TransformerLM:
    torch.manual_seed(0)
    block = {key: changes.pop(key) for key in list(changes) if key in BlockSettings.model_fields}
    arguments: dict[str, object] = {"d_model": 12, "num_layers": 2, "num_heads": 2, "d_ff": 16} | changes
    return TransformerLM(VOCAB, CONTEXT, **arguments, options=BlockSettings(**block)).double()  # type: ignore[arg-type]


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(VOCAB, (batch, length), generator=torch.Generator().manual_seed(length))


def test_state_dict_has_the_standard_names_and_nothing_else() -> None:
    block = ["attn.k_proj", "attn.output_proj", "attn.q_proj", "attn.v_proj", "ffn.w1", "ffn.w2", "ffn.w3", "ln1", "ln2"]
    layers = [f"layers.{i}.{name}.weight" for i in range(2) for name in block]
    assert sorted(small().state_dict()) == sorted([*layers, "ln_final.weight", "lm_head.weight", "token_embeddings.weight"])


def test_the_future_has_no_influence() -> None:
    model, first = small(), ids(1, CONTEXT)
    second = first.clone()
    second[0, 5:] = (second[0, 5:] + 1) % VOCAB
    a, b = model(first), model(second)
    torch.testing.assert_close(a[:, :5], b[:, :5], rtol=0, atol=0)
    assert not torch.allclose(a[:, 5:], b[:, 5:])


def test_the_order_of_the_past_matters_with_rope() -> None:
    model, first = small(num_layers=1), ids(1, 4)
    second = first[:, [1, 0, 2, 3]]
    assert not torch.allclose(model(first)[:, -1], model(second)[:, -1])
    without = small(num_layers=1, position="none")
    torch.testing.assert_close(without(first)[:, -1], without(second)[:, -1])


def test_a_sequence_does_not_depend_on_its_batch() -> None:
    model, batch = small(), ids(3, CONTEXT)
    torch.testing.assert_close(model(batch)[1:2], model(batch[1:2]))


@pytest.mark.parametrize("feed_forward", ["swiglu", "silu"])
def test_fast_kernels_give_the_same_logits_and_gradients(feed_forward: str) -> None:
    reference, fast = (small(kernels=kernels, feed_forward=feed_forward) for kernels in (REFERENCE, FAST))
    fast.load_state_dict(reference.state_dict())
    batch = ids(2, CONTEXT + 1)
    torch.testing.assert_close(fast(batch[:, 1:]), reference(batch[:, 1:]))
    reference.total_loss(batch).backward()
    fast.total_loss(batch).backward()
    for expected, found in zip(reference.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def test_loss_and_token_log_probs_say_the_same() -> None:
    model, batch = small(), ids(2, CONTEXT + 1)
    log_probs = model.token_log_probs(batch)
    expected = torch.log_softmax(model(batch[:, :-1]), -1).gather(-1, batch[:, 1:, None]).squeeze(-1)
    torch.testing.assert_close(log_probs, expected)
    torch.testing.assert_close(-log_probs.sum(), model.total_loss(batch))


@pytest.mark.parametrize("parts", [[1] * 8, [3, 5], [8], [1, 6, 1], [2, 1] * 5, [13]])
def test_reading_piece_by_piece_gives_what_reading_at_once_gives(parts: list[int]) -> None:
    model, batch = small(kernels=FAST), ids(2, 30)
    state, read = model.start(2), 0
    for part in parts:
        found = model.advance(state, batch[:, read : read + part])
        read += part
        seen = batch[:, max(0, read - CONTEXT) : read]  # beyond the context the oldest tokens are forgotten
        torch.testing.assert_close(found, torch.log_softmax(model(seen)[:, -1], -1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("position", ["rope", "sinusoidal", "learned", "none"])
def test_documents_in_one_window_are_read_as_if_each_were_alone(position: str) -> None:
    model, batch = small(position=position), ids(2, CONTEXT)
    together = model(batch, torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [3, 3, 3, 3, 3, 3, 4, 5]]))
    for row, start, stop in ((0, 0, 3), (0, 3, 8), (1, 0, 6), (1, 6, 7), (1, 7, 8)):
        torch.testing.assert_close(together[row, start:stop], model(batch[row : row + 1, start:stop])[0])


def test_total_loss_adds_up_what_the_tokens_cost() -> None:
    model, batch = small(), ids(2, CONTEXT + 1)
    torch.testing.assert_close(model.total_loss(batch), -model.token_log_probs(batch).sum())
    documents = torch.zeros_like(batch)
    torch.testing.assert_close(model.total_loss(batch, documents), model.total_loss(batch))
    documents[:, 4:] = 1
    apart = model.total_loss(batch[:, :5], documents[:, :5]) + model.total_loss(batch[:, 4:])
    torch.testing.assert_close(model.total_loss(batch, documents), apart)


def test_rope_can_be_left_out_and_embeddings_tied() -> None:
    assert small(tie_embeddings=True).num_parameters() == small().num_parameters() - 12 * VOCAB
    assert not list(small(position="none").buffers())


SETTINGS = TransformerSettings(family="transformer", layers=1, heads=2, d_model=8, context_length=CONTEXT)


def test_the_seed_determines_the_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    first = registry.build(SETTINGS, VOCAB, seed=1)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    same, other = registry.build(SETTINGS, VOCAB, seed=1), registry.build(SETTINGS, VOCAB, seed=2)
    batch = ids(1, 4)
    assert torch.equal(first.token_log_probs(batch), same.token_log_probs(batch))
    assert not torch.equal(first.token_log_probs(batch), other.token_log_probs(batch))


@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_model_comes_back_exactly(tmp_path: Path, tied: bool) -> None:
    settings = SETTINGS.model_copy(update={"tie_embeddings": tied})
    model = registry.build(settings, VOCAB, seed=3)
    registry.save(
        model,
        registry.ModelDescription(
            family="transformer", settings=settings, vocab_size=VOCAB, end_of_text=0, tokenizer="a", tokens="b"
        ),
        tmp_path,
    )
    loaded = registry.load(tmp_path)
    assert isinstance(loaded, LanguageModel)
    assert torch.equal(loaded.token_log_probs(ids(2, 9)), model.token_log_probs(ids(2, 9)))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    registry.build(SETTINGS, VOCAB, 0).save(tmp_path)
    with pytest.raises(UserError, match=r"lm_head\.weight is \(17, 8\).*\(18, 8\)"):
        TransformerLM.load(tmp_path, SETTINGS, VOCAB + 1)


def test_default_feed_forward_width_is_the_courses() -> None:
    wide = SETTINGS.model_copy(update={"d_model": 512})
    assert wide.feed_forward_width == 1344
    assert wide.model_copy(update={"feed_forward": "silu"}).feed_forward_width == 2048
