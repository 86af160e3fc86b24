"""Softmax attention over score matrices that fit into memory, in few passes over them."""

import torch
from torch import Tensor

FEW = 4
"""So many queries attend by sums where code is compiled for a processor: for a product, keys would be copied first."""


def weighted(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
    """`functional.scaled_dot_product_attention` with `seen` as its mask.

    Adding 0 or -inf costs less than filling by a mask, and torch's softmax is one pass.
    """
    is_few = torch.compiler.is_compiling() and query.device.type == "cpu" and query.shape[-2] <= FEW
    times = by_sums if is_few else torch.matmul
    scores = times(query * query.shape[-1] ** -0.5, key.transpose(-2, -1))  # (..., queries, keys)
    if seen is not None:
        hidden = torch.zeros(seen.shape, dtype=scores.dtype, device=scores.device).masked_fill_(~seen, float("-inf"))
        scores = scores + hidden
    return times(torch.softmax(scores, dim=-1), value)


def by_sums(one: Tensor, other: Tensor) -> Tensor:
    """one @ other from its definition: (..., rows, inner) and (..., inner, columns) to (..., rows, columns)."""
    return (one.unsqueeze(-1) * other.unsqueeze(-3)).sum(dim=-2)
