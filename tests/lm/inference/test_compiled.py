"""Weights in bf16, and next tokens by compiled code: the same texts, or nearly."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.lm.inference import loading
from stages.lm.inference.compiled import LEAST_REACH, CompiledLM, rounded
from stages.lm.models import registry
from tests.lm.hub.folders import model_of as randomised
from tests.lm.inference.test_families import GREEDY, PROMPTS, model_of, write
from tests.lm.models.variants import VARIANTS, settings

SOFTMAX = [name for name, changes in VARIANTS.items() if changes.get("attention") != "linear"]
NORMED = [name for name in SOFTMAX if VARIANTS[name].get("norm_position") != "none"]
"""Without norms numbers grow to where few digits are too few."""


@pytest.mark.parametrize("name", SOFTMAX)
def test_what_is_compiled_writes_the_same_texts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiler, whose code computes what it is given."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    plain = [text.tokens for text in write(model_of(name), PROMPTS, GREEDY, 3)]
    assert [text.tokens for text in write(CompiledLM(model_of(name)), PROMPTS, GREEDY, 3)] == plain


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compilation needs a C++ compiler")
def test_by_the_compiler() -> None:
    short = GREEDY.model_copy(update={"max_tokens": 6})
    prompts = [PROMPTS[0], PROMPTS[3]]
    plain = [text.tokens for text in write(model_of("Mistral"), prompts, short, 2)]
    assert [text.tokens for text in write(CompiledLM(model_of("Mistral")), prompts, short, 2)] == plain


def test_caches_are_looked_at_up_to_few_lengths() -> None:
    assert [rounded(length) for length in (1, 64, 65, 128, 200, 257)] == [LEAST_REACH, LEAST_REACH, 128, 128, 256, 512]


def saved(folder: Path, **changes: Any) -> Path:
    described = settings(**changes)
    description = registry.ModelDescription(
        family="transformer", settings=described, vocab_size=19, end_of_text=0, tokenizer="that one", tokens="those"
    )
    registry.save(randomised(described), description, folder)
    return folder


@pytest.mark.parametrize("name", NORMED)
def test_bf16_is_near(name: str, tmp_path: Path) -> None:
    folder, ids = saved(tmp_path, **VARIANTS[name]), torch.arange(20).view(2, 10) % 19
    threads = torch.get_num_threads()
    exact, half = (loading.open_model(folder, precision=precision).model for precision in ("fp32", "bf16"))
    torch.set_num_threads(threads)
    assert isinstance(half, torch.nn.Module)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in half.buffers()} <= {torch.float32}
    states = exact.start(2), half.start(2)
    for part in (ids[:, :4], ids[:, 4:5], ids[:, 5:]):
        one, other = exact.advance(states[0], part), half.advance(states[1], part)
        assert other.dtype == torch.float32
        torch.testing.assert_close(other.exp(), one.exp(), rtol=0.1, atol=0.02)
