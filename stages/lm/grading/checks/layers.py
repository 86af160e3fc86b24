"""Project 1.2: the elementary layers (R28, R30, R36 to R39)."""

import random
from typing import Any

import torch

from stages.lm.grading.checks.check import Adapters, Check, Given, integers, normal


def linear_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "a batch of sequences": {"weight": normal(rng, 5, 8), "x": normal(rng, 2, 3, 8)},
        "a single vector": {"weight": normal(rng, 4, 6), "x": normal(rng, 6)},
    }


def linear(adapters: Adapters, given: Given) -> Any:
    return adapters.linear(given["weight"], given["x"])


def embedding_cases(rng: random.Random) -> dict[str, Given]:
    return {"a batch of sequences": {"weight": normal(rng, 11, 8), "token_ids": integers(rng, 11, 2, 5)}}


def embedding(adapters: Adapters, given: Given) -> Any:
    return adapters.embedding(given["weight"], given["token_ids"])


def silu_cases(rng: random.Random) -> dict[str, Given]:
    return {"hidden numbers": {"x": normal(rng, 3, 7)}, "large numbers": {"x": torch.tensor([-90.0, -20.0, 0.0, 90.0])}}


def silu(adapters: Adapters, given: Given) -> Any:
    return adapters.silu(given["x"])


def softmax_cases(rng: random.Random) -> dict[str, Given]:
    x = normal(rng, 3, 4, 5)
    return {
        "the last dimension": {"x": x, "dim": -1},
        "another dimension": {"x": x, "dim": 1},
        "large numbers": {"x": x * 1000 + 5000, "dim": -1},
    }


def softmax(adapters: Adapters, given: Given) -> Any:
    return adapters.softmax(given["x"], given["dim"])


def rmsnorm_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "hidden numbers": {"weight": normal(rng, 8), "x": normal(rng, 2, 3, 8), "eps": 1e-5},
        "numbers so small that eps counts": {"weight": normal(rng, 8), "x": normal(rng, 3, 8) * 1e-3, "eps": 1e-5},
    }


def precision_cases(rng: random.Random) -> dict[str, Given]:
    wide = normal(rng, 4, 64) * 300
    return {
        "float16, whose squares overflow": {"weight": normal(rng, 64), "x": wide.half(), "eps": 1e-5},
        "bfloat16, whose weights would be rounded": {"weight": normal(rng, 64), "x": wide.bfloat16(), "eps": 1e-5},
    }


def rmsnorm(adapters: Adapters, given: Given) -> Any:
    return adapters.rmsnorm(given["weight"], given["x"], given["eps"])


def swiglu_cases(rng: random.Random) -> dict[str, Given]:
    weights = {"w1": normal(rng, 12, 8), "w2": normal(rng, 8, 12), "w3": normal(rng, 12, 8)}
    return {"a batch of sequences": {**weights, "x": normal(rng, 2, 3, 8)}}


def swiglu(adapters: Adapters, given: Given) -> Any:
    return adapters.swiglu(given["w1"], given["w2"], given["w3"], given["x"])


CHECKS = {
    "linear": Check(linear_cases, linear),
    "embedding": Check(embedding_cases, embedding),
    "silu": Check(silu_cases, silu),
    "softmax": Check(softmax_cases, softmax),
    "rmsnorm": Check(rmsnorm_cases, rmsnorm),
    "rmsnorm.precision": Check(precision_cases, rmsnorm),
    "swiglu": Check(swiglu_cases, swiglu),
}
