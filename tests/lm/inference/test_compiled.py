"""Weights in fewer digits, and next tokens by compiled code: the same texts, or nearly."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.inference import compiled, loading
from stages.lm.inference.compiled import LEAST_REACH, CompiledLM, filled_up, rounded
from stages.lm.inference.few_rows import SUMMED, FewRowsLinear
from stages.lm.inference.int8 import Int8Linear
from stages.lm.models import registry
from stages.lm.models.attention import weighted
from stages.lm.models.attention.weighted import by_sums
from stages.lm.models.layers import Linear
from tests.lm.hub.folders import model_of as randomised
from tests.lm.inference.test_families import GREEDY, PROMPTS, model_of, write
from tests.lm.models.variants import CONTEXT, VARIANTS, settings

SOFTMAX = [name for name, changes in VARIANTS.items() if changes.get("attention") != "linear"]
NORMED = [name for name in SOFTMAX if VARIANTS[name].get("norm_position") != "none"]
"""Without norms numbers grow to where few digits are too few."""


def uncompiled(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, ...]]:
    """Let code that would be compiled run as it is; the rows, new tokens and reach of its calls come into what this returns."""
    shapes = set()

    def stand_in(function: Any, **_: Any) -> Any:
        def noted(ids: Tensor, positions: Tensor, caches: Any, reach: int) -> Tensor:
            shapes.add((*ids.shape, reach))
            return function(ids, positions, caches, reach)  # type: ignore[no-any-return]

        return noted

    monkeypatch.setattr(torch, "compile", stand_in)
    return shapes


@pytest.mark.parametrize("name", SOFTMAX)
def test_what_is_compiled_writes_the_same_texts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiler, whose code computes what it is given: all rows, one of them alone at the end, up to four lengths."""
    shapes = uncompiled(monkeypatch)
    monkeypatch.setattr(compiled, "LEAST_REACH", 4)
    prompts, scored = [[], [2], [3], PROMPTS[2]], GREEDY.model_copy(update={"log_probs": True})
    plain = write(model_of(name), prompts, scored, 3)
    found = write(CompiledLM(model_of(name)), prompts, scored.model_copy(update={"compile": True}), 3)
    assert [text.tokens for text in found] == [text.tokens for text in plain]
    assert [text.log_probs for text in found] == [pytest.approx(text.log_probs) for text in plain]
    assert shapes == {(3, 1, reach) for reach in (4, 8, 16, CONTEXT)}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compilation needs a C++ compiler")
def test_by_the_compiler() -> None:
    short = GREEDY.model_copy(update={"max_tokens": 6})
    prompts = [PROMPTS[0], PROMPTS[3], PROMPTS[4]]
    plain = [text.tokens for text in write(model_of("Mistral"), prompts, short, 2)]
    by_code = short.model_copy(update={"compile": True})
    assert [text.tokens for text in write(CompiledLM(model_of("Mistral")), prompts, by_code, 2)] == plain


@torch.inference_mode()
def test_there_is_code_for_every_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eleven, where torch by itself gives up after eight, and once; by a compiler that counts what it is given."""
    made = []
    compiler = partial(torch.compile, backend=lambda module, _, **__: made.append(module) or module.forward)
    monkeypatch.setattr(torch, "compile", compiler)
    monkeypatch.setattr(compiled, "LEAST_REACH", 1)
    model = CompiledLM(registry.build(settings(layers=1, context_length=1024), 19, 0))
    state, ids = model.start(1), torch.tensor([[3]])
    state.apart()
    for power in [*range(11), *range(11)]:
        state.lengths, state.longest = torch.tensor([2**power - 1]), 2**power - 1
        model.advance(state, ids)
    assert len(made) == 11


def test_a_ring_and_a_whole_cache_have_their_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same shape, where the window is as wide as the context."""
    made = []
    monkeypatch.setattr(compiled, "compiled", lambda method: made.append(method) or method)
    plain = registry.build(settings(layers=1, context_length=8, attention="sliding", window=8), 19, 0)
    model = CompiledLM(plain)
    for can_go_back in (False, True, False, True):
        state = model.start(1, can_go_back)
        model.advance(state, torch.tensor([[3, 1]]))
        model.advance(state, torch.tensor([[4]]))
    assert len(made) == 2


@torch.inference_mode()
def test_two_models_have_their_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same weights and shapes, but with another number of heads; and of other modules."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    models = [randomised(settings(layers=1, heads=heads)) for heads in (4, 2)]
    models[1].load_state_dict(models[0].state_dict())
    for plain in (*models, randomised(settings(layers=1, feed_forward="relu")), models[0]):
        by_code = CompiledLM(plain)
        found, expected = by_code.start(1), plain.start(1)
        for part in (torch.tensor([[3, 1, 4]]), torch.tensor([[1]]), torch.tensor([[5]])):
            torch.testing.assert_close(by_code.advance(found, part), plain.advance(expected, part))


def test_caches_are_looked_at_up_to_few_lengths() -> None:
    assert [rounded(length) for length in (1, 64, 65, 128, 200, 257)] == [LEAST_REACH, LEAST_REACH, 128, 128, 256, 512]


def test_there_is_code_for_few_numbers_of_new_tokens() -> None:
    assert [filled_up(new) for new in (1, 2, 3, 4, 5, 8, 9, 17)] == [1, 2, 4, 4, 8, 8, 16, 24]


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_sums_are_products(rows: int) -> None:
    """What compiled code takes for few rows: of a linear layer, and of queries."""
    linear, x = Linear(24, 9), torch.randn(2, rows, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(FewRowsLinear(linear).by_sums(x[0]), linear(x[0]))
    torch.testing.assert_close(by_sums(x, linear.weight.T), x @ linear.weight.T)


@pytest.mark.parametrize("rows", [1, 4, 5])
def test_compiled_code_takes_few_rows_by_sums(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to four, in linear layers and in attention, with the values of code that is not compiled."""
    summed = []
    monkeypatch.setattr(FewRowsLinear, "by_sums", lambda layer, x: summed.append("linear") or x @ layer.weight.T)
    monkeypatch.setattr(weighted, "by_sums", lambda one, other: summed.append("attention") or one @ other)
    layer, x = FewRowsLinear(Linear(8, 8)), torch.randn(rows, 8, generator=torch.Generator().manual_seed(0))
    seen = torch.ones(rows, rows, dtype=torch.bool).tril()
    for function, inputs in ((layer.forward, (x,)), (weighted.weighted, (x, x, x, seen))):
        expected = function(*inputs)
        found = torch.compile(function, backend="eager", fullgraph=True)(*inputs)
        torch.testing.assert_close(found, expected)
    assert summed == ([] if rows > SUMMED else ["linear", "attention", "attention"])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compilation needs a C++ compiler")
@pytest.mark.parametrize("rows", [1, 3])
@torch.inference_mode()
def test_sums_by_the_compiler(rows: int) -> None:
    """In bf16, of rows that lie apart."""
    layer = FewRowsLinear(Linear(64, 33, dtype=torch.bfloat16))
    x = torch.randn(rows, 2, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    by_code = torch.compile(lambda x: layer(2 * x[:, 1]), dynamic=False)
    torch.testing.assert_close(by_code(x), layer(2 * x[:, 1]), rtol=0.02, atol=0.02)


def saved(folder: Path, **changes: Any) -> Path:
    described = settings(**changes)
    description = registry.ModelDescription(
        family="transformer", settings=described, vocab_size=19, end_of_text=0, tokenizer="that one", tokens="those"
    )
    registry.save(randomised(described), description, folder)
    return folder


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("name", NORMED)
def test_fewer_digits_are_near(name: str, precision: Any, tmp_path: Path) -> None:
    folder, ids = saved(tmp_path, **VARIANTS[name]), torch.arange(20).view(2, 10) % 19
    threads = torch.get_num_threads()
    exact, fewer = (loading.open_model(folder, precision=one).model for one in ("fp32", precision))
    torch.set_num_threads(threads)
    assert isinstance(fewer, torch.nn.Module)
    assert {parameter.dtype for parameter in fewer.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in fewer.buffers()} <= {torch.float32, torch.int8 if precision == "int8" else torch.float32}
    states = exact.start(2), fewer.start(2)
    for part in (ids[:, :4], ids[:, 4:5], ids[:, 5:]):
        one, other = exact.advance(states[0], part), fewer.advance(states[1], part)
        assert other.dtype == torch.float32
        torch.testing.assert_close(other.exp(), one.exp(), rtol=0.1, atol=0.02)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 1), (2, 32), (5, 13), (7,)])
def test_few_rows_are_multiplied_as_any(shape: tuple[int, ...]) -> None:
    linear, x = Linear(24, 9, bias=True), torch.randn(*shape, 24, generator=torch.Generator().manual_seed(0))
    found = FewRowsLinear(linear)(x)
    assert found.is_contiguous()
    torch.testing.assert_close(found, linear(x))


@pytest.mark.parametrize("width", [13, 16, 48])
def test_integers_are_within_half_a_step_of_the_weights(width: int) -> None:
    """By the products of few inputs, and of more than are multiplied with integers as they are."""
    linear = Linear(width, 7, bias=True)
    with torch.no_grad():
        linear.weight[2] = 0.0
        linear.bias += torch.arange(7)  # type: ignore[operator]
    quantised, step = Int8Linear(linear), linear.weight.abs().amax(1, keepdim=True) / 127
    assert quantised.integers.abs().amax(1).tolist() == [127, 127, 0, 127, 127, 127, 127]
    for inputs in (*torch.eye(width).bfloat16().split(1), torch.eye(width).bfloat16().repeat(2, 1)):
        weights = quantised(inputs).float() - torch.arange(7)  # (inputs, out)
        expected = inputs.float() @ linear.weight.T
        assert (weights - expected).abs().le(0.52 * step.T + 0.01 * expected.abs()).all()


def test_integers_are_for_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, _: module)
    with pytest.raises(UserError, match="precision: int8 is for a processor; set device to cpu"):
        loading.open_model(saved(tmp_path), "auto", torch.get_num_threads(), "int8")
