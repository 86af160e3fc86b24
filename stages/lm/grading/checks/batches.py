"""Project 1.2: batches from a memory-mapped array of tokens (R53)."""

import random
from typing import Any

import numpy as np
import torch

from stages.lm.grading.checks.check import Adapters, Check, Given


def batch_cases(_rng: random.Random) -> dict[str, Given]:
    return {"from a file in the memory map": {"tokens": 200, "first": 65_000, "context_length": 12, "batch_size": 8, "draws": 3}}


def starts_cases(_rng: random.Random) -> dict[str, Given]:
    return {"all seven places where a sequence can begin": {"tokens": 19, "first": 0, "context_length": 12, "batch_size": 8,
                                                           "draws": 60}}  # fmt: skip


def batches(adapters: Adapters, given: Given) -> Any:
    """Inputs and targets of several draws from tokens that count up."""
    tokens = np.memmap("tokens.bin", dtype=np.uint16, mode="w+", shape=(given["tokens"],))
    tokens[:] = np.arange(given["first"], given["first"] + given["tokens"])
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002, the generator that submissions use
    random.seed(0)
    dataset = np.memmap("tokens.bin", dtype=np.uint16, mode="r")
    drawn = [adapters.get_batch(dataset, given["batch_size"], given["context_length"], "cpu") for _ in range(given["draws"])]
    return [[x, y] for x, y in drawn]


def form_of_batches(answer: Any, _given: Given) -> Any:
    x, y = (torch.stack([pair[place] for pair in answer]) for place in (0, 1))
    return {
        "shape of the inputs and of the targets": [list(x.shape[1:]), list(y.shape[1:])],
        "types": [str(x.dtype), str(y.dtype)],
        "inputs are consecutive tokens": bool((x.diff(dim=-1) == 1).all()),
        "targets are the inputs one place on": torch.equal(y, x + 1),
        "draws differ": not torch.equal(x[0], x[1]),
    }


def starts_of_batches(answer: Any, _given: Given) -> Any:
    return sorted({int(row[0]) for x, _ in answer for row in x})


CHECKS = {
    "batch": Check(batch_cases, batches, form_of_batches),
    "batch.starts": Check(starts_cases, batches, starts_of_batches),
}
