"""What a check is. Its probe runs twice on the same inputs: on a submission, in isolation, and on this project's own code."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Given = Mapping[str, Any]
"""Inputs: plain values, bytes, tensors."""
Adapters = Any
"""A module with the functions of `config/grading/template/adapters.py`."""


def as_it_is(answer: Any, _given: Given) -> Any:
    return answer


def nothing_else(_given: Given) -> list[Given]:
    return []


@dataclass(frozen=True)
class Check:
    """The cases that a seed gives, by what they are about, and how each is put to an implementation."""

    cases: Callable[[random.Random], Mapping[str, Given]]
    probe: Callable[[Adapters, Given], Any]
    """The answer of an implementation; raises what that raises. It runs where the submission does: nobody trusts it."""
    view: Callable[[Any, Given], Any] = as_it_is
    """What of an answer is compared, where two right ones need not be equal. Runs in the grader."""
    right: Any = None
    """The view of every right answer, where it is known without one of our own."""
    also: Callable[[Given], list[Given]] = nothing_else
    """Inputs to which our answer counts as well: what an error that another check is about makes of this one."""


def generator(rng: random.Random) -> torch.Generator:
    """Torch's random numbers from Python's."""
    return torch.Generator().manual_seed(rng.getrandbits(62))


def normal(rng: random.Random, *shape: int) -> Tensor:
    """Numbers from N(0, 1)."""
    return torch.randn(shape, generator=generator(rng))


def integers(rng: random.Random, below: int, *shape: int) -> Tensor:
    """Whole numbers from 0 to `below` - 1."""
    return torch.randint(below, shape, generator=generator(rng))
