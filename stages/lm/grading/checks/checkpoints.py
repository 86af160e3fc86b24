"""Project 1.2: going on from a checkpoint (R54)."""

import io
import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stages.lm.grading.checks.check import Adapters, Check, Given, normal


def checkpoint_cases(rng: random.Random) -> dict[str, Given]:
    given = {"weights": [normal(rng, 4, 3), normal(rng, 2, 4)], "x": normal(rng, 5, 3), "before": 3, "after": 3}
    return {"a path": {**given, "stream": False}, "an open file": {**given, "stream": True}}


def model_and_optimizer(weights: list[Tensor]) -> tuple[nn.Sequential, torch.optim.AdamW]:
    model = nn.Sequential(*(nn.Linear(weight.shape[1], weight.shape[0], bias=False) for weight in weights))
    for layer, weight in zip(model, weights, strict=True):
        layer.weight.data = weight.clone()
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2)


def go_on(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


def resumed(adapters: Adapters, given: Given) -> Any:
    """What training ends with when it goes on from a checkpoint with a model and an optimizer that begin elsewhere."""
    model, optimizer = model_and_optimizer(given["weights"])
    go_on(model, optimizer, given["x"], given["before"])
    target: Any = io.BytesIO() if given["stream"] else Path("checkpoint.bin")
    adapters.save_checkpoint(model, optimizer, given["before"], target)
    if given["stream"]:
        target.seek(0)
    fresh, other = model_and_optimizer([weight * 0 for weight in given["weights"]])
    iteration = adapters.load_checkpoint(target, fresh, other)
    go_on(fresh, other, given["x"], given["after"])
    return {"the iteration": iteration, "weights after some more steps": list(fresh.parameters())}


CHECKS = {
    "checkpoint": Check(checkpoint_cases, resumed),
}
