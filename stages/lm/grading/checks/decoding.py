"""Project 1.2, decoding: temperature, nucleus, repetition penalty, and where a text ends (R60)."""

import random
from typing import Any

import torch
from torch import Tensor, nn

from stages.lm.grading.checks.check import Adapters, Check, Given, normal

VOCAB, CONTEXT, END = 17, 8, 0


def given_of(logits: Tensor, **more: Any) -> Given:
    return {"logits": logits, "recent": [], "temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0, **more}


def temperature_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "temperature 1": given_of(normal(rng, VOCAB) * 2),
        "temperature 0.7": given_of(normal(rng, VOCAB) * 2, temperature=0.7),
        "temperature 0, which takes the most probable token": given_of(normal(rng, VOCAB) * 2, temperature=0.0),
    }


def top_p_cases(rng: random.Random) -> dict[str, Given]:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    return {
        "the token that crosses p": given_of(logits, top_p=0.6),
        "a p that one token alone exceeds": given_of(logits, top_p=0.2),
        "hidden logits": given_of(normal(rng, VOCAB) * 2, top_p=0.85),
        "after a temperature": given_of(normal(rng, VOCAB) * 2, top_p=0.85, temperature=0.6),
    }


def penalty_cases(rng: random.Random) -> dict[str, Given]:
    recent = [rng.randrange(VOCAB) for _ in range(4)]
    return {
        "positive logits": given_of(normal(rng, VOCAB).abs() + 0.1, recent=recent, repetition_penalty=1.5),
        "a token that occurs twice": given_of(normal(rng, VOCAB).abs() + 0.1, recent=[3, 3], repetition_penalty=1.5),
        "before the temperature": given_of(
            normal(rng, VOCAB).abs() + 0.1, recent=recent, repetition_penalty=1.2, temperature=0.8
        ),
    }


def negative_cases(rng: random.Random) -> dict[str, Given]:
    recent = [rng.randrange(VOCAB) for _ in range(4)]
    return {
        "negative logits": given_of(-normal(rng, VOCAB).abs() - 0.1, recent=recent, repetition_penalty=1.5),
        "negative logits of a few tokens": given_of(torch.tensor([2.0, -1.0, 0.5]), recent=[1], repetition_penalty=2.0),
    }


def probabilities(adapters: Adapters, given: Given) -> Any:
    settings = [given[key] for key in ("temperature", "top_p", "repetition_penalty")]
    return adapters.next_token_probabilities(given["logits"], list(given["recent"]), *settings).float()


class Rule(nn.Module):
    """A language model whose next token follows from the sum of all that it reads, so that a wrong context is seen at once."""

    def __init__(self, stride: int, ends_after: int) -> None:
        super().__init__()
        self.stride, self.ends_after = stride, ends_after
        self.weight = nn.Parameter(torch.zeros(1))  # for implementations that ask where the model's parameters are

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, length) -> (batch, length, VOCAB); raises ValueError beyond its context."""
        if ids.shape[-1] > CONTEXT:
            raise ValueError(f"the model was given {ids.shape[-1]} tokens, but its context is {CONTEXT}")
        following = 1 + (ids.cumsum(-1) * self.stride) % (VOCAB - 1)
        following = torch.where(ids == self.ends_after, END, following)
        return torch.nn.functional.one_hot(following, VOCAB).float() * 9 + self.weight


def generate_cases(rng: random.Random) -> dict[str, Given]:
    prompt = [rng.randrange(1, VOCAB) for _ in range(3)]
    return {
        "five tokens": {"prompt": prompt, "max_tokens": 5, "stride": 3, "ends_after": -1},
        "more than the context holds": {"prompt": prompt, "max_tokens": 14, "stride": 3, "ends_after": -1},
        "a prompt longer than the context": {"prompt": prompt * 5, "max_tokens": 4, "stride": 5, "ends_after": -1},
    }


def end_cases(rng: random.Random) -> dict[str, Given]:
    last = rng.randrange(1, VOCAB)
    return {
        "it ends at once": {"prompt": [last], "max_tokens": 9, "stride": 3, "ends_after": last},
        "it ends after one token": {"prompt": [4], "max_tokens": 9, "stride": 3, "ends_after": 1 + 12 % (VOCAB - 1)},
    }


def generated(adapters: Adapters, given: Given) -> Any:
    """The most probable continuation."""
    model = Rule(given["stride"], given["ends_after"])
    written = adapters.generate(model, list(given["prompt"]), given["max_tokens"], END, CONTEXT, 0.0)
    return [int(token) for token in written]


CHECKS = {
    "decoding.temperature": Check(temperature_cases, probabilities),
    "decoding.top_p": Check(top_p_cases, probabilities),
    "decoding.penalty": Check(penalty_cases, probabilities),
    "decoding.negative_logits": Check(negative_cases, probabilities),
    "generate": Check(generate_cases, generated),
    "generate.end": Check(end_cases, generated),
}
