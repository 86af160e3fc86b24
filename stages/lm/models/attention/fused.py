"""Attention by torch's own operations; each agrees with `reference.attention` but for rounding."""

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.models.attention.pattern import Pattern, Segments, mask
from stages.lm.models.attention.sliding import banded, is_banded
from stages.lm.models.attention.weighted import weighted

PLAIN_KEYS = 512
"""Up to so many keys, whole score matrices on a CPU are faster than the tiles of its flash kernel."""


def attention(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, segments: Segments | None = None) -> Tensor:
    """The fastest way for these shapes on this device."""
    if is_banded(pattern, query.shape[-2], key.shape[-2]):
        return banded(query, key, value, pattern, segments)
    if pattern.stride is not None and query.shape[-2] == 1 and segments is None:
        return strided_step(query, key, value, pattern)
    if query.device.type == "cpu" and key.shape[-2] <= PLAIN_KEYS:
        return plain(query, key, value, pattern, segments)
    return sdpa(query, key, value, pattern, segments)


def strided_step(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern) -> Tensor:
    """One query, the last position: of the keys it reads those alone that it sees."""
    position = torch.arange(key.shape[-2], device=key.device)
    seen = pattern.visible(position[-1], position).nonzero().squeeze(-1)
    return plain(query, key[..., seen, :], value[..., seen, :], Pattern(causal=False))


def sdpa(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, segments: Segments | None = None) -> Tensor:
    """torch's fused kernels, which never hold all scores; a mask is written out only where no flag says it."""
    queries, keys = query.shape[-2], key.shape[-2]
    if segments is None and pattern == Pattern(causal=True) and queries == keys:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    seen = mask(pattern, queries, keys, segments, query.device)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=seen)


def plain(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, segments: Segments | None = None) -> Tensor:
    """All scores at once."""
    return weighted(query, key, value, mask(pattern, query.shape[-2], key.shape[-2], segments, query.device))
