"""Attention from its definition (Vaswani et al. 2017, section 3.2.1), with the mask written out."""

from torch import Tensor

from stages.lm.models.attention.pattern import Pattern, Segments, mask
from stages.lm.models.functional import scaled_dot_product_attention


def attention(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, segments: Segments | None = None) -> Tensor:
    """query: (..., heads, queries, d_head); key, value: (..., heads, keys, d_head) -> (..., heads, queries, d_head).

    Every query must see at least one key.
    """
    seen = mask(pattern, query.shape[-2], key.shape[-2], segments, query.device)
    return scaled_dot_product_attention(query, key, value, seen)
