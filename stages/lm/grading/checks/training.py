"""Project 1.2: loss, clipping, AdamW, schedule, and all of them together (R47, R50 to R52, R57)."""

import random
from typing import Any

import torch
from torch import nn

from stages.lm.grading.checks.check import Adapters, Check, Given, integers, normal

# Loss and clipping


def loss_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "one row": {"logits": normal(rng, 4, 9), "targets": integers(rng, 9, 4)},
        "a batch of sequences": {"logits": normal(rng, 2, 5, 9) * 3, "targets": integers(rng, 9, 2, 5)},
    }


def stable_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "logits of a thousand": {"logits": normal(rng, 4, 9) * 1000, "targets": integers(rng, 9, 4)},
        "logits far below zero": {"logits": normal(rng, 4, 9) - 5000, "targets": integers(rng, 9, 4)},
    }


def loss(adapters: Adapters, given: Given) -> Any:
    return adapters.cross_entropy(given["logits"], given["targets"])


def clip_cases(rng: random.Random) -> dict[str, Given]:
    gradients = [normal(rng, 5, 5), normal(rng, 7), normal(rng, 2, 3, 4)]
    return {
        "the course's example": {"gradients": [torch.ones(5, 5)] * 5, "max_norm": 0.01},
        "a norm above the limit": {"gradients": gradients, "max_norm": 1.5},
        "a norm below the limit": {"gradients": gradients, "max_norm": 100.0},
    }


def sparse_cases(rng: random.Random) -> dict[str, Given]:
    return {"the second of three has none": {"gradients": [normal(rng, 5, 5), None, normal(rng, 7)], "max_norm": 0.5}}


def parameters_of(given: Given) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(3) if gradient is None else gradient.clone()) for gradient in given["gradients"]]
    for parameter, gradient in zip(parameters, given["gradients"], strict=True):
        parameter.grad = None if gradient is None else gradient.clone()
    return parameters


def clipped(adapters: Adapters, given: Given) -> Any:
    parameters = parameters_of(given)
    adapters.clip_gradients(parameters, given["max_norm"])
    return [parameter.grad for parameter in parameters]


def clipped_generator(adapters: Adapters, given: Given) -> Any:
    """As `model.parameters()` gives them: once."""
    parameters = parameters_of(given)
    adapters.clip_gradients((parameter for parameter in parameters), given["max_norm"])
    return [parameter.grad for parameter in parameters]


# AdamW


def steps(rng: random.Random, rates: list[list[float]], weight_decay: float, **more: Any) -> Given:
    """A group for each list of learning rates, with one parameter and its gradients of every step."""
    count = len(rates[0])
    groups = [
        {"start": normal(rng, 3, 4), "gradients": [normal(rng, 3, 4) for _ in range(count)], "rates": group} for group in rates
    ]
    return {"groups": groups, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": weight_decay, "absent": [], **more}


def adamw_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "the first step": steps(rng, [[1e-2]], 0.0),
        "ten steps": steps(rng, [[1e-2] * 10], 0.0),
        "two groups with learning rates of their own": steps(rng, [[1e-2] * 5, [3e-3] * 5], 0.0),
        "another rate in every step": steps(rng, [[1e-3 * step for step in range(8)]], 0.0),
        "a parameter without a gradient": steps(rng, [[1e-2] * 4, [1e-2] * 4], 0.0, absent=[1]),
    }


def decay_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "a constant rate": steps(rng, [[1e-2] * 10], 0.3),
        "a rate that a schedule changes, from 0 on": steps(rng, [[2e-3 * step for step in range(8)]], 0.3),
    }


def stepped(adapters: Adapters, given: Given) -> Any:
    """The parameters in the end. The constructor is given the first learning rate, and every step that of its schedule."""
    groups = given["groups"]
    parameters = [nn.Parameter(group["start"].clone()) for group in groups]
    named = [{"params": [parameter], "lr": group["rates"][0]} for parameter, group in zip(parameters, groups, strict=True)]
    options = {"betas": tuple(given["betas"]), "eps": given["eps"], "weight_decay": given["weight_decay"]}
    optimizer = adapters.get_adamw()(named, lr=groups[0]["rates"][0], **options)
    for step in range(len(groups[0]["rates"])):
        optimizer.zero_grad()
        for place, (parameter, group) in enumerate(zip(parameters, groups, strict=True)):
            parameter.grad = None if place in given["absent"] else group["gradients"][step].clone()
            optimizer.param_groups[place]["lr"] = group["rates"][step]
        optimizer.step()
    return parameters


# Schedule


def schedule_cases(rng: random.Random) -> dict[str, Given]:
    warmup = rng.randint(5, 9)
    end = warmup + rng.randint(10, 20)
    hidden = {"rates": [rng.uniform(1e-3, 1e-2), rng.uniform(1e-5, 1e-4)], "warmup": warmup, "end": end}
    course = {"rates": [1e-3, 1e-4], "warmup": 5000, "end": 100_000}
    return {
        "warm-up, from 0 on": {**hidden, "steps": list(range(warmup))},
        "the end of the warm-up": {**hidden, "steps": [warmup]},
        "between": {**hidden, "steps": list(range(warmup + 1, end))},
        "the end of the decay, and later": {**hidden, "steps": [end, end + 1, end + 100]},
        "the course's figure": {**course, "steps": [0, 2500, 5000, 52_500, 100_000, 120_000]},
    }


def schedule(adapters: Adapters, given: Given) -> Any:
    return [float(adapters.cosine_schedule(step, *given["rates"], given["warmup"], given["end"])) for step in given["steps"]]


# All together


def overfit_cases(rng: random.Random) -> dict[str, Given]:
    return {"80 steps on 4 sequences": {"ids": integers(rng, 30, 4, 13), "settings": [30, 16, 32, 2, 2, 64, 10000.0]}}


def overfitted(adapters: Adapters, given: Given) -> Any:
    """The logits of a batch that the submission's own model has learned with its own loss, clipping, optimizer and schedule."""
    torch.manual_seed(0)
    model = adapters.build_transformer_lm(*given["settings"])
    optimizer = adapters.get_adamw()(model.parameters(), lr=1e-2, weight_decay=0.0)
    x, y = given["ids"][:, :-1], given["ids"][:, 1:]
    for step in range(80):
        for group in optimizer.param_groups:
            group["lr"] = adapters.cosine_schedule(step, 1e-2, 1e-3, 8, 80)
        optimizer.zero_grad()
        adapters.cross_entropy(model(x), y).backward()
        adapters.clip_gradients(model.parameters(), 1.0)
        optimizer.step()
    return model(x)


def has_learned(answer: Any, given: Given) -> Any:
    log_probs = answer.double().log_softmax(-1).gather(-1, given["ids"][:, 1:, None])
    return {"a loss below 0.5": bool(-log_probs.mean() < 0.5)}


CHECKS = {
    "loss": Check(loss_cases, loss),
    "loss.stable": Check(stable_cases, loss),
    "clip": Check(clip_cases, clipped),
    "clip.generator": Check(clip_cases, clipped_generator),
    "clip.no_gradient": Check(sparse_cases, clipped),
    "adamw": Check(adamw_cases, stepped),
    "adamw.decay": Check(decay_cases, stepped),
    "schedule": Check(schedule_cases, schedule),
    "overfit": Check(overfit_cases, overfitted, has_learned, right={"a loss below 0.5": True}),
}
