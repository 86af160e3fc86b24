"""Beam search for language models: against its definition, against all texts there are, and against transformers."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.lm.inference import beams
from stages.lm.inference.generation import Completion, Request, Text, collected
from stages.lm.inference.loading import Trained
from stages.lm.inference.search import follow, length_penalty
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.stopping import Stop
from stages.lm.models import registry
from tests.lm.hub.folders import export, load
from tests.lm.hub.folders import model_of as randomised
from tests.lm.inference.test_families import END, FILES, PROMPTS, model_of, seen
from tests.lm.inference.test_generation import Bigram
from tests.lm.models.variants import settings

PLAIN: dict[str, Any] = {"temperature": 0.0, "repetition_penalty": 1.0}
Scored = tuple[float, list[int]]


def find(model: Any, prompts: list[list[int]], **changes: Any) -> list[Completion]:
    requests = [Request(prompt, torch.Generator()) for prompt in prompts]
    decoding = DecodingSettings(**PLAIN | changes)
    tokens = beams.search(Trained(model, END, torch.device("cpu"), ""), requests, decoding)
    return collected(tokens, len(requests), Stop())


def by_definition(model: Any, prompt: list[int], limit: int, size: int, alpha: float) -> list[int]:
    """To the limit, each beginning read anew; the best that ended, or else the most probable."""
    going: list[Scored] = [(0.0, [])]
    ended: list[Scored] = []
    for length in range(1, limit + 1):
        longer = []
        for score, written in going:
            read = seen(model, prompt, written)
            log_probs = model.advance(model.start(1), torch.tensor([read]))[0]
            longer += [(score + log_prob, [*written, token]) for token, log_prob in enumerate(log_probs.tolist())]
        best = sorted(longer, reverse=True)[: 2 * size]
        ended += [(score / length_penalty(length, alpha), ids[:-1]) for score, ids in best if ids[-1] == END]
        going = [(score, ids) for score, ids in best if ids[-1] != END][:size]
    return max(ended or going)[1]


@pytest.mark.parametrize("name", ["default", "GPT-2", "Mistral", "linear", "lstm", *FILES])
def test_it_is_what_the_definition_says(name: str, tmp_path: Path) -> None:
    """From prompts that are short, empty, and longer than the context, and past its end. N-grams have too many ties for it."""
    model = model_of(name, tmp_path if name in FILES else None)
    for alpha, limit in ((0.0, 6), (2.0, 28)):
        found = find(model, PROMPTS[:3], beams=3, length_penalty=alpha, max_tokens=limit)
        with torch.inference_mode():
            assert [text.tokens for text in found] == [by_definition(model, prompt, limit, 3, alpha) for prompt in PROMPTS[:3]]


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_as_many_beams_as_there_are_beginnings_find_the_best_of_all(alpha: float) -> None:
    for seed in range(4):
        model: Any = registry.build(settings(layers=1), 4, seed).double().eval()
        [found] = find(model, [[2, 3]], beams=27, length_penalty=alpha, max_tokens=4)
        texts = [[*words, END] for length in range(4) for words in itertools.product((1, 2, 3), repeat=length)]
        scores = [model.token_log_probs(torch.tensor([[END, 2, 3, *text]]))[0, 2:].sum() for text in texts]
        best = max(zip(scores, texts, strict=True), key=lambda one: one[0] / length_penalty(len(one[1]), alpha))[1]
        assert (found.tokens, found.stop_reason) == (best[:-1], "end of text")


def test_one_that_does_not_end_stops_at_the_most_tokens() -> None:
    [found] = find(Bigram(torch.tensor([[0.0, 0.6, 0.4]] * 3)), [[1]], beams=2, max_tokens=5)
    assert (found.tokens, found.stop_reason) == ([1] * 5, "max tokens")


LLAMA = settings(heads=4, kv_heads=2, d_head=6, tie_embeddings=True)


@torch.no_grad()
def test_transformers_follows_the_same_beginnings(tmp_path: Path) -> None:
    """Where no token ends a text, and scores are not divided by anything."""
    ours, theirs = randomised(LLAMA), load(export(tmp_path, randomised(LLAMA), LLAMA))
    theirs.generation_config.eos_token_id = None
    for size, prompt in itertools.product((2, 4), PROMPTS[:2]):
        search = {"num_beams": size, "do_sample": False, "max_new_tokens": 8, "length_penalty": 0.0}
        expected = theirs.generate(torch.tensor([[END, *prompt]]), **search)[0, 1 + len(prompt) :]
        text = Text(0, [END, *prompt], torch.Generator())
        texts = beams.Beams(Trained(ours, END, torch.device("cpu"), ""), [text])
        [found] = follow(texts, texts.write, texts.scores, -1, torch.tensor([8]), size, 0.0)
        assert found.tokens == expected.tolist()


@torch.no_grad()
def test_a_text_that_transformers_finds_is_not_more_probable(tmp_path: Path) -> None:
    """With ends: it looks at fewer of them, and at the limit it may prefer a text that was cut off."""
    ours, theirs = randomised(LLAMA), load(export(tmp_path, randomised(LLAMA), LLAMA))
    ended = 0
    for size, first in itertools.product((2, 4), range(1, 8)):
        search = {"num_beams": size, "do_sample": False, "max_new_tokens": 12, "length_penalty": 0.0}
        [other] = theirs.generate(torch.tensor([[END, first]]), **search)[:, 2:].tolist()
        if END in other:
            ended += 1
            [found] = find(ours, [[first]], beams=size, length_penalty=0.0, max_tokens=12)
            assert total(ours, first, [*found.tokens, END]) >= total(ours, first, other[: other.index(END) + 1]) - 1e-4
    assert ended


def total(model: Any, first: int, tokens: list[int]) -> float:
    """ln p of the tokens after the first one."""
    return float(model.token_log_probs(torch.tensor([[END, first, *tokens]]))[0, 1:].sum())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": 0.8, "repetition_penalty": 1.2}, "set temperature to 0.0 and repetition_penalty to 1.0, or beams to 1"),
        ({"draft": "other"}, "set draft to null"),
        ({"batch_size": 4}, "set batch_size to 1"),
        ({"samples": 2, "stop": ["."], "log_probs": True}, "set samples to 1 and stop to [] and log_probs to false"),
    ],
)
def test_what_it_does_not_know_of_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="beams: look for the most probable text") as caught:
        DecodingSettings(**PLAIN | {"beams": 2} | changes)
    assert said in str(caught.value)
    DecodingSettings(**PLAIN | {"beams": 1} | changes)
