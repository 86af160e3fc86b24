"""Variants as language models: what they compute, and what is wrong with those that are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.huggingface import model as implementation
from tests.lm.hub.folders import randomised
from tests.lm.models.huggingface.variants import CONTEXT, GATED, REZERO, VOCAB, built, changed, settings

IDS = torch.randint(VOCAB, (2, CONTEXT + 1), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("file", [GATED, REZERO])
def test_it_is_the_same_model_by_all_ways(file: str, tmp_path: Path) -> None:
    model = randomised(built(file))
    model.check()
    log_probs = torch.log_softmax(model(IDS[:, :-1]), -1)  # (2, CONTEXT, VOCAB)
    expected = log_probs.gather(2, IDS[:, 1:, None])[..., 0]
    torch.testing.assert_close(model.token_log_probs(IDS), expected)
    assert model.total_loss(IDS).item() == pytest.approx(-expected.sum().item(), rel=1e-5)

    model.save(tmp_path)
    other = type(model).load(tmp_path, settings(file), VOCAB).eval()
    assert torch.equal(other(IDS[:, :-1]), model(IDS[:, :-1]))
    assert not list(tmp_path.glob("__pycache__"))


@pytest.mark.parametrize("caches", [True, False])
def test_it_reads_on_and_slides_when_the_context_is_full(caches: bool, tmp_path: Path) -> None:
    forgetful = changed(tmp_path, ("attention_mask, past_key_values)", "attention_mask, None)"))
    model = randomised(built(GATED if caches else forgetful))
    model.check()
    state = model.start(2)
    model.advance(state, IDS[:, :5])
    assert state.groups[0].cache.get_seq_length() == (5 if caches else 0)
    for end in range(6, CONTEXT + 2):
        found = model.advance(state, IDS[:, end - 1 : end])
        read = IDS[:, max(0, end - CONTEXT) : end]
        torch.testing.assert_close(found, torch.log_softmax(model(read)[:, -1], -1))


def test_a_full_row_beside_others_is_not_read_on() -> None:
    """Its text has ended: its window would slide, and a whole context be computed with every token of the others."""
    model, shapes = randomised(built()), list[tuple[int, ...]]()
    state, other = model.start(2), model.start(1)
    model.advance(state, IDS[:, :CONTEXT])
    model.advance(other, IDS[1:, :3])
    state.put(torch.tensor([1]), other)
    model.network.register_forward_pre_hook(lambda _, __, given: shapes.append(given["input_ids"].shape), with_kwargs=True)
    found = model.advance(state, IDS[:, 3:4])
    assert shapes == [(1, 1)]
    torch.testing.assert_close(found[1:], torch.log_softmax(model(IDS[1:, :4])[:, -1], -1))


def test_rows_that_have_read_different_numbers_of_tokens() -> None:
    """Rows 0 and 2 read three tokens and row 1 five; then they change places, and one of them is there twice."""
    model = randomised(built())
    state, later = model.start(3), model.start(1)
    model.advance(state, IDS[0, :3].repeat(3, 1))
    model.advance(later, IDS[1:, :5])
    state.put(torch.tensor([1]), later)
    state.reorder(torch.tensor([1, 0, 1, 2]))
    texts = [IDS[1, :5], IDS[0, :3], IDS[1, :5], IDS[0, :3]]
    for token in range(1, 4):
        texts = [torch.cat((text, torch.tensor([token]))) for text in texts]
        found = model.advance(state, torch.full((4, 1), token))
        for row, text in zip(found, texts, strict=True):
            torch.testing.assert_close(row, torch.log_softmax(model(text[None])[0, -1], -1))


def attention(gated: Any, x: Tensor) -> Tensor:
    """The variant's attention without its gate, by torch; x: (2, CONTEXT, d). Angles are 0, so that nothing is turned."""
    query, key, value = (gated.split(layer(x)) for layer in (gated.query, gated.key, gated.value))
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


@torch.no_grad()
@pytest.mark.parametrize("gate", ["none", "head", "number"])
def test_what_a_head_gathers_is_multiplied_by_its_gate(gate: str) -> None:
    gated = randomised(built(GATED, gate=gate)).network.layers[0].attention
    x = torch.randn(2, CONTEXT, 16, generator=torch.Generator().manual_seed(1))
    gathered = attention(gated, x).transpose(1, 2)  # (2, CONTEXT, heads, 8)
    if gate != "none":
        opened = torch.sigmoid(x @ gated.gate.weight.T + gated.gate.bias)
        gathered = gathered * opened.view(2, CONTEXT, 2, 8 if gate == "number" else 1)
    expected = gathered.reshape(2, CONTEXT, 16) @ gated.output.weight.T
    found = gated(x, (torch.ones(1, 1, CONTEXT, 4), torch.zeros(1, 1, CONTEXT, 4)), None, None)
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_rezero_is_a_llama_at_one_and_nothing_but_its_ends_at_zero() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    model = built(REZERO, alpha=1.0)
    known = {key: value for key, value in model.network.config.to_dict().items() if key != "alpha"}
    llama = LlamaForCausalLM(LlamaConfig(**known))
    found = llama.load_state_dict(model.network.state_dict(), strict=False)
    assert not found.missing_keys
    torch.testing.assert_close(model(IDS[:, :-1]), llama(IDS[:, :-1]).logits)
    model = built(REZERO)
    network = model.network
    torch.testing.assert_close(model(IDS), network.lm_head(network.model.norm(network.model.embed_tokens(IDS))))


FAULTS = {
    "sees the future": [("seen = place <=", "seen = place < 99 +")],
    "its loss for labels is": [("logits[:, :-1].float().flatten(0, 1), labels[:, 1:]", "logits.float().flatten(0, 1), labels")],
    "token by token with past_key_values": [("0 if past_key_values is None else past_key_values.get_seq_length()", "0")],
    "its logits are (2, 7, 20) for ids (2, 8)": [("self.lm_head(self.norm(x))", "self.lm_head(self.norm(x))[:, 1:]")],
    "saved and loaded again it computes something else": [
        ("self.post_init()", 'self.register_buffer("b", torch.ones(config.vocab_size), False); self.post_init()'),
        ("self.lm_head(self.norm(x))", "self.lm_head(self.norm(x)) * (1 + self.b.cumsum(0))"),
    ],
    "makes no model of these settings: ValueError: gate is 'number', which is none of": [('("none", *widths)', "()")],
    ", line 9: cannot be imported: ModuleNotFoundError: No module named 'nowhere'": [
        ("import torch\nfrom", "import nowhere\nfrom")
    ],
}
"""Mistakes that people make, and what is said of them."""


@pytest.mark.parametrize("said", FAULTS)
def test_mistakes_are_found_before_the_training(said: str, tmp_path: Path) -> None:
    file = changed(tmp_path, *FAULTS[said])
    with pytest.raises(UserError) as caught:
        built(file).check()
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)


def test_keys_of_llama_are_checked_when_it_is_built() -> None:
    with pytest.raises(UserError, match=r"model\.config\.gate: ReZeroConfig of config/variants/rezero_residual\.py has no such"):
        built(REZERO, gate="none")
    with pytest.raises(UserError, match=r"makes no model of these settings: .*hidden_size"):
        built(REZERO, hidden_size="wide")


def test_a_file_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    planned = settings(changed(tmp_path))
    changed(tmp_path, (".sigmoid()", ".tanh()"))
    with pytest.raises(UserError, match="has changed since the config was read; run the same command again"):
        registry.build(planned, VOCAB, 0)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    built(GATED, gate="none").save(tmp_path)
    built(GATED).network.config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="its weights are of another model"):
        type(built()).load(tmp_path, settings(GATED), VOCAB)


def test_without_transformers_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(UserError, match=r"model\.family: huggingface needs the package transformers; pip install -r"):
        implementation.Auto()
