"""Sliding-window attention in time and memory linear in the length (Beltagy et al. 2020, "Longformer", section 3.1).

The sequence is cut into blocks as long as the window. A query sees keys of its own block and of the one before it, and no
others: so every block of queries is attended with two blocks of keys, and the pattern's mask inside them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.models.attention.pattern import Pattern, Segments
from stages.lm.models.attention.weighted import weighted


def is_banded(pattern: Pattern, queries: int, keys: int) -> bool:
    """Whether `banded` knows this case, and computes fewer scores than there are pairs."""
    window = pattern.window
    return window is not None and pattern == Pattern(window=window) and queries == keys and keys > 2 * window


def banded(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, segments: Segments | None = None) -> Tensor:
    """Causal attention with `pattern.window`, of a whole sequence: shapes as in `reference.attention`."""
    length, window = query.shape[-2], pattern.window or 1
    position = torch.arange(length - length % -window, device=query.device).view(-1, window, 1)  # (blocks, window, 1)
    near = _with_previous(position, -1).mT  # (blocks, 1, 2 window)
    seen = pattern.visible(position, near) & (near >= 0)  # (blocks, window, 2 window); the first block has no previous one
    if segments is not None:
        own, other = (_blocks(segment.unsqueeze(-1), window) for segment in segments)  # (..., blocks, window, 1)
        seen = seen & (own == _with_previous(other, -1).mT).unsqueeze(-4)  # (..., 1, blocks, window, 2 window)
    key, value = (_with_previous(_blocks(x, window), 0) for x in (key, value))  # (..., heads, blocks, 2 window, d_head)
    return weighted(_blocks(query, window), key, value, seen).flatten(-3, -2)[..., :length, :]


def _blocks(x: Tensor, window: int) -> Tensor:
    """(..., sequence, d) -> (..., blocks, window, d), the last block filled up with zeros."""
    return F.pad(x, (0, 0, 0, -x.shape[-2] % window)).reshape(*x.shape[:-2], -1, window, x.shape[-1])


def _with_previous(blocks: Tensor, before: int) -> Tensor:
    """(..., blocks, window, d) -> (..., blocks, 2 window, d): each after its predecessor, the first after `before`."""
    previous = F.pad(blocks, (0, 0, 0, 0, 1, -1), value=before)
    return torch.cat((previous, blocks), dim=-2)
