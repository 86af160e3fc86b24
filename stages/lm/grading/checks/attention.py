"""Project 1.2: rotary positions and attention (R29, R40, R41)."""

import random
from typing import Any

import torch
from torch import Tensor

from stages.lm.grading.checks.check import Adapters, Check, Given, integers, normal

THETA, LENGTH = 10000.0, 64
"""Of rotary embeddings: the base, and how many positions there may be."""


def rope_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "a batch of sequences": {"x": normal(rng, 2, 6, 8), "token_positions": torch.arange(6), "theta": THETA},
        "another base": {"x": normal(rng, 5, 16), "token_positions": torch.arange(5), "theta": 500.0},
    }


def positions_cases(rng: random.Random) -> dict[str, Given]:
    x = normal(rng, 2, 3, 4, 8)  # (batch, heads, sequence, d_k)
    late = torch.arange(40, 44)
    return {
        "far positions, as with a cache": {"x": x, "token_positions": late, "theta": THETA},
        "one row of positions for all": {"x": x[:, 0], "token_positions": late[None], "theta": THETA},
        "other positions for each sequence": {"x": x[:, 0], "token_positions": integers(rng, LENGTH, 2, 4), "theta": THETA},
    }


def rope(adapters: Adapters, given: Given) -> Any:
    return adapters.rope(given["x"], given["token_positions"], given["theta"], LENGTH)


def layout_apart(given: Given) -> list[Given]:
    """Halves instead of neighbours are the business of `rope`: there the layout costs its points, and nowhere else."""
    order = halves(given["x"].shape[-1])
    return [{**given, "x": given["x"][..., order], "order": order}]


def rope_in_any_layout(adapters: Adapters, given: Given) -> Any:
    turned = rope(adapters, given)
    return turned if "order" not in given else turned[..., given["order"].argsort()]


def halves(d: int) -> Tensor:
    """The places (0, d/2, 1, d/2 + 1, ...): pairs of halves become neighbours."""
    return torch.arange(d).reshape(2, d // 2).T.flatten()


def attention_cases(rng: random.Random) -> dict[str, Given]:
    query, key, value = normal(rng, 2, 3, 4, 8), normal(rng, 2, 3, 6, 8), normal(rng, 2, 3, 6, 5)
    mask = integers(rng, 2, 4, 6).bool()
    mask[:, 0] = True
    plain = {"query": query, "key": key, "value": value}
    return {
        "without a mask": {**plain, "mask": None},
        "with a mask, True where a query may attend": {**plain, "mask": mask},
        "three dimensions": {"query": query[0], "key": key[0], "value": value[0], "mask": mask},
    }


def attention(adapters: Adapters, given: Given) -> Any:
    return adapters.scaled_dot_product_attention(given["query"], given["key"], given["value"], given["mask"])


def projections(rng: random.Random, d_model: int) -> dict[str, Tensor]:
    return {f"{name}_proj": normal(rng, d_model, d_model) / d_model**0.5 for name in ("q", "k", "v", "output")}


def multi_head_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "four heads": {**projections(rng, 16), "num_heads": 4, "x": normal(rng, 2, 7, 16), "positions": None},
        "one head": {**projections(rng, 8), "num_heads": 1, "x": normal(rng, 2, 3, 8), "positions": None},
    }


def multi_head_rope_cases(rng: random.Random) -> dict[str, Given]:
    given = {**projections(rng, 16), "num_heads": 2, "x": normal(rng, 2, 7, 16)}
    return {"from position 0": {**given, "positions": torch.arange(7)}, "later": {**given, "positions": torch.arange(20, 27)}}


def multi_head(adapters: Adapters, given: Given) -> Any:
    weights = [given[f"{name}_proj"] for name in ("q", "k", "v", "output")]
    rotary = () if given["positions"] is None else (THETA, LENGTH, given["positions"])
    return adapters.multihead_self_attention(given["x"], given["num_heads"], *weights, *rotary)


def rows_in_halves(weight: Tensor, num_heads: int) -> Tensor:
    """The projection of which the interleaved layout makes what the layout of halves makes of `weight`, head by head."""
    d_head = weight.shape[0] // num_heads
    return weight.reshape(num_heads, d_head, -1)[:, halves(d_head)].reshape(weight.shape)


def other_layout(given: Given) -> list[Given]:
    """With pairs of halves attention is another, and right within itself: only `rope` is marked for it."""
    return [{**given, **{name: rows_in_halves(given[name], given["num_heads"]) for name in ("q_proj", "k_proj")}}]


CHECKS = {
    "rope": Check(rope_cases, rope),
    "rope.positions": Check(positions_cases, rope_in_any_layout, also=layout_apart),
    "attention": Check(attention_cases, attention),
    "multi_head": Check(multi_head_cases, multi_head),
    "multi_head.rope": Check(multi_head_rope_cases, multi_head, also=other_layout),
}
