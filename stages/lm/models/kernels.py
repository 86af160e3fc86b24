"""The inner computations of a transformer that exist twice: by definition, and by the fused kernels of torch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.models import functional


@dataclass(frozen=True)
class Kernels:
    """One way to compute; all ways agree but for rounding. Shapes as in `functional`."""

    silu: Callable[[Tensor], Tensor]
    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    rotate_pairs: Callable[[Tensor, Tensor, Tensor], Tensor]
    causal_attention: Callable[[Tensor, Tensor, Tensor], Tensor]


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight.to(x.dtype), eps)


def _rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """A pair is a complex number, and to turn it is to multiply it by cos + i sin: one pass over memory."""
    pairs = torch.view_as_complex(x.to(cos.dtype).reshape(*x.shape[:-1], -1, 2))  # (..., d / 2)
    return torch.view_as_real(pairs * torch.complex(cos, sin)).flatten(-2).to(x.dtype)


PLAIN_KEYS = 512
"""Up to so many keys, whole score matrices on a CPU are faster than the tiles of its flash kernel."""


def _causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    queries, keys = query.shape[-2], key.shape[-2]
    if query.device.type == "cpu" and keys <= PLAIN_KEYS:
        return _plain_causal_attention(query, key, value)
    if queries == keys:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    mask = None if queries == 1 else functional.causal_mask(queries, keys, query.device)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def _plain_causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Adding 0 or -inf costs less than filling by a mask, and torch's softmax is one pass."""
    queries, keys = query.shape[-2], key.shape[-2]
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)  # (..., queries, keys)
    if queries > 1:
        hidden = torch.full((queries, keys), float("-inf"), dtype=scores.dtype).triu(keys - queries + 1)
        scores = scores + hidden
    return torch.softmax(scores, dim=-1) @ value


REFERENCE = Kernels(functional.silu, functional.rms_norm, functional.rotate_pairs, functional.causal_attention)
FAST = Kernels(F.silu, _rms_norm, _rotate_pairs, _causal_attention)
