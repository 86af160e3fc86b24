"""Attention by torch's FlexAttention, which compiles any rule about positions into a kernel that leaves out empty blocks.

On a GPU it is compiled. On a CPU it computes all scores and knows no backward pass: good for decoding and evaluation alone.
"""

import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.models.attention.pattern import Pattern, Segments


def attention(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, segments: Segments | None = None) -> Tensor:
    """query, key, value: (batch, heads, sequence, d_head); else as `reference.attention`.

    Raises UserError where gradients are wanted on a CPU.
    """
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    queries, keys = query.shape[-2], key.shape[-2]

    def seen(batch: Tensor, _head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        visible = pattern.visible(row + keys - queries, column)
        return visible if segments is None else visible & (segments.query[batch, row] == segments.key[batch, column])

    batch = None if segments is None else len(query)
    blocks = create_block_mask(seen, batch, None, queries, keys, device=query.device.type)
    if query.device.type != "cpu":
        return _compiled()(query, key, value, block_mask=blocks)  # type: ignore[no-any-return]
    if torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value)):
        raise UserError("kernel: flex has no backward pass on a CPU; train with auto, or where there is a GPU")
    with warnings.catch_warnings(action="ignore"):  # that it is not compiled
        return flex_attention(query.detach(), key.detach(), value.detach(), block_mask=blocks)


@cache
def _compiled() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)
