"""Softmax attention over score matrices that fit into memory, in few passes over them."""

import torch
from torch import Tensor


def weighted(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
    """`functional.scaled_dot_product_attention` with `seen` as its mask.

    Adding 0 or -inf costs less than filling by a mask, and torch's softmax is one pass.
    """
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)  # (..., queries, keys)
    if seen is not None:
        hidden = torch.zeros(seen.shape, dtype=scores.dtype, device=scores.device).masked_fill_(~seen, float("-inf"))
        scores = scores + hidden
    return torch.softmax(scores, dim=-1) @ value
