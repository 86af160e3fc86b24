"""Every way in which transformers differ: what has to hold for all of them."""

import pytest
import torch
from pydantic import ValidationError

from stages.lm.models import registry
from stages.lm.models.kernels import FAST, REFERENCE, fast
from stages.lm.models.transformer import TransformerLM
from tests.lm.models.variants import CONTEXT, VARIANTS, settings

VOCAB = 19
EACH = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())


def built(seed: int = 0, **changes: object) -> TransformerLM:
    model = registry.build(settings(**changes), VOCAB, seed)
    assert isinstance(model, TransformerLM)
    return model.double()


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(VOCAB, (batch, length), generator=torch.Generator().manual_seed(length))


@EACH
def test_reading_piece_by_piece_gives_what_reading_at_once_gives(changes: dict[str, object]) -> None:
    model, batch = built(**changes), ids(2, 40)
    for parts in ([1] * 24, [9, 1, 1, 6, 7], [24], [3, 12, 1], [20, 1, 1, 8, 1, 1]):
        state, read = model.start(2), 0
        for part in parts:
            found = model.advance(state, batch[:, read : read + part])
            read += part
            seen = batch[:, max(0, read - CONTEXT) : read]  # beyond the context the oldest tokens are forgotten
            expected = torch.log_softmax(model(seen)[:, -1], -1)
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@EACH
def test_the_future_has_no_influence_and_documents_none_on_each_other(changes: dict[str, object]) -> None:
    model, batch = built(**changes), ids(2, CONTEXT)
    other = batch.clone()
    other[:, 15:] = (other[:, 15:] + 1) % VOCAB
    torch.testing.assert_close(model(batch)[:, :15], model(other)[:, :15])
    documents = torch.tensor([[0] * 9 + [1] * 15, [4] * 23 + [5]])
    together = model(batch, documents)
    for row, start, stop in ((0, 0, 9), (0, 9, 24), (1, 0, 23), (1, 23, 24)):
        alone = model(batch[row : row + 1, start:stop])[0]
        torch.testing.assert_close(together[row, start:stop], alone, rtol=1e-5, atol=1e-6)  # angles are kept in float32


@EACH
def test_definitions_and_fast_twins_agree_in_values_and_gradients(changes: dict[str, object]) -> None:
    model, batch = built(**changes), ids(2, CONTEXT + 1)
    documents = torch.tensor([[0] * 9 + [1] * 16, [4] * 24 + [5]])
    gradients = []
    for kernels in (REFERENCE, FAST, fast("sdpa"), fast("flash")):
        for module in model.modules():
            if hasattr(module, "kernels"):
                module.kernels = kernels
        gradients.append(torch.autograd.grad(model.total_loss(batch, documents), tuple(model.parameters())))
    for found in gradients[1:]:
        torch.testing.assert_close(found, gradients[0], rtol=1e-6, atol=1e-6)


@EACH
def test_half_precision_is_near(changes: dict[str, object]) -> None:
    model, batch = built(**changes).float(), ids(2, CONTEXT + 1)
    documents = torch.tensor([[0] * 9 + [1] * 16, [4] * 24 + [5]])
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.total_loss(batch, documents)
    loss.backward()
    assert loss.item() == pytest.approx(model.total_loss(batch, documents).item(), rel=0.01)
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


@EACH
def test_one_batch_is_learned_by_heart(changes: dict[str, object]) -> None:
    model, batch = built(**changes).float(), ids(2, CONTEXT + 1)
    rate = 3e-3 if changes.get("norm_position") == "none" else 1e-2
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, fused=True)
    predictions = 2 * CONTEXT
    assert model.total_loss(batch).item() / predictions > 2
    for _ in range(120):
        optimizer.zero_grad()
        loss = model.total_loss(batch) / predictions
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kv_heads": 3}, "heads 2 is not divisible by kv_heads 3"),
        ({"heads": 3}, "d_model 16 is not divisible by heads 3"),
        ({"d_head": 5}, "rotary positions turn pairs, but d_head = 5 is odd"),
        ({"attention": "sliding"}, "attention: sliding and window go together"),
        ({"window": 4}, "attention: sliding and window go together"),
        ({"attention": "strided"}, "attention: strided and stride go together"),
        ({"global_every": 2}, "attention is full in every block anyway"),
        ({"attention": "linear", "kernel": "flash"}, "kernel flash computes softmax attention, and attention is linear"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_every_nth_block_is_global() -> None:
    described = settings(layers=6, attention="sliding", window=4, global_every=3)
    assert [described.of_layer(i).attention for i in range(6)] == ["sliding", "sliding", "full"] * 2
    assert [described.of_layer(i).window for i in range(3)] == [4, 4, None]


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["reference", "flash", "sdpa", "flex"])
def test_every_kernel_evaluates_and_decodes(kernel: str) -> None:
    changes = {"attention": "sliding", "window": 7, "heads": 4, "kv_heads": 2, "layers": 1}
    expected, model, batch = built(**changes).float(), built(**changes, kernel=kernel).float(), ids(2, CONTEXT + 1)
    torch.testing.assert_close(model.token_log_probs(batch), expected.token_log_probs(batch), rtol=1e-4, atol=1e-5)
    state, other = model.start(2), expected.start(2)
    for start, stop in ((0, 9), (9, 10)):
        found = model.advance(state, batch[:, start:stop])
        torch.testing.assert_close(found, expected.advance(other, batch[:, start:stop]), rtol=1e-4, atol=1e-5)
