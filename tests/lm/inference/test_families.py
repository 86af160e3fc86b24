"""Every family and every kind of transformer writes the same text cached, uncached, alone, and beside texts of other lengths."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.lm.inference.generation import Completion, Request, generate, sample_generator
from stages.lm.inference.loading import Trained
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.stopping import Stop
from stages.lm.models import registry
from stages.lm.models.settings import ModelSettings
from stages.lm.settings import parse
from stages.lm.tokens import TokenArray
from tests.lm.models.huggingface.variants import changed
from tests.lm.models.huggingface.variants import settings as variant_settings
from tests.lm.models.variants import CONTEXT, VARIANTS, settings

VOCAB, END = 19, 0
OTHERS: dict[str, dict[str, object]] = {
    "rnn": {"family": "rnn", "layers": 2, "d_model": 12, "context_length": 8},
    "lstm": {"family": "lstm", "layers": 2, "d_model": 12, "context_length": 8},
    "gru": {"family": "gru", "layers": 1, "d_model": 12, "context_length": 8},
    "ngram": {"family": "ngram", "order": 4},
}
FILES: dict[str, tuple[tuple[str, str], ...]] = {
    "gated attention": (),
    "gated attention, no cache": (("attention_mask, past_key_values)", "attention_mask, None)"),),
}
"""The shipped variant of family huggingface, and one that keeps nothing: what is changed in its file."""
PROMPTS = [[3, 4, 5], [], [int(token) for token in torch.arange(40) % 18 + 1], [7] * 11, [2, 9]]
"""One is longer than the context."""
GREEDY = DecodingSettings(temperature=0.0, max_tokens=30, repetition_penalty=1.0)


def described(name: str, folder: Path | None = None) -> Any:
    """The settings of a model; those of a file want a folder for it."""
    if name in VARIANTS:
        return settings(**VARIANTS[name])
    if folder is None:
        return parse(ModelSettings, OTHERS[name], "model")
    return variant_settings(changed(folder, *FILES[name])).model_copy(update={"context_length": CONTEXT})


def model_of(name: str, folder: Path | None = None) -> Any:
    model: Any = registry.build(described(name, folder), VOCAB, 3)
    if name != "ngram":
        return model.double().eval()
    ids = np.random.default_rng(0).integers(0, VOCAB, 3000).astype(np.uint16)
    model.fit(TokenArray(ids, np.array([0, len(ids)]), np.array([len(ids)])))
    return model


def write(model: Any, prompts: list[list[int]], decoding: DecodingSettings, at_once: int) -> list[Completion]:
    requests = [Request(prompt, sample_generator(0, number, 0)) for number, prompt in enumerate(prompts)]
    return generate(Trained(model, END, torch.device("cpu"), ""), requests, decoding, Stop(), at_once)


def seen(model: Any, prompt: list[int], written: list[int]) -> list[int]:
    """What is to be seen of a text before its next token: at most a context, and its last half once it was full."""
    begin = max(0, 1 + len(prompt) - CONTEXT) if model.context_length else 0
    for length in range(1 + len(prompt), 1 + len(prompt) + len(written)):
        if model.context_length and length - begin == CONTEXT:
            begin = length + 1 - CONTEXT // 2
    return [END, *prompt, *written][begin:]


def uncached(model: Any, prompt: list[int], count: int) -> list[int]:
    """The most probable tokens, each from all that is to be seen."""
    written: list[int] = []
    for _ in range(count):
        written.append(int(model.advance(model.start(1), torch.tensor([seen(model, prompt, written)])).argmax()))
    return written


@pytest.mark.parametrize("name", [*VARIANTS, *OTHERS, *FILES])
def test_one_text_however_it_is_written(name: str, tmp_path: Path) -> None:
    model = model_of(name, tmp_path if name in FILES else None)
    alone = [write(model, [prompt], GREEDY, 1)[0].tokens for prompt in PROMPTS]
    with torch.inference_mode():
        assert alone[:3] == [uncached(model, prompt, 30) for prompt in PROMPTS[:3]]
    assert [text.tokens for text in write(model, PROMPTS, GREEDY, 3)] == alone
    twice = write(model, [PROMPTS[3]] * 2 + [PROMPTS[0]], GREEDY, 3)
    assert [text.tokens for text in twice] == [alone[3], alone[3], alone[0]]


@pytest.mark.parametrize("name", ["default", "Mistral", "linear", "lstm", "ngram"])
def test_a_drawn_text_does_not_depend_on_what_is_beside_it(name: str) -> None:
    model = model_of(name)
    drawing = DecodingSettings(max_tokens=30, min_p=0.05, presence_penalty=0.3, log_probs=True)
    together = write(model, PROMPTS, drawing, 3)
    for number, prompt in enumerate(PROMPTS):
        request = Request(prompt, sample_generator(0, number, 0))
        (alone,) = generate(Trained(model, END, torch.device("cpu"), ""), [request], drawing, Stop())
        assert alone.tokens == together[number].tokens
        assert alone.log_probs == pytest.approx(together[number].log_probs)
