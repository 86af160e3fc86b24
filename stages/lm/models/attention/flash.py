"""FlashAttention-2 (Dao 2023, algorithms 1 and 2): exact attention in tiles, the matrix of scores never whole in memory.

The readable twin of the fused kernels: the same arithmetic in torch operations, one tile after the other, where a GPU computes
many side by side. Forward, a softmax that goes on from tile to tile (Milakov and Gimelshein 2018) needs only the largest score
of a query so far and the sum of the exponentials. Backward, the scores are computed again, from L alone: the logarithm of that
sum. Tiles that the pattern empties are left out.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from stages.lm.models.attention.pattern import Pattern, Segments

TILE = 64
"""Queries, and keys, of a tile."""
MASKED = -1e6
"""A score so low that its exponential is 0 beside any other. With -inf, a row hidden in its first tile would give inf - inf."""


def attention(
    query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, segments: Segments | None = None, tile: int = TILE
) -> Tensor:
    """Shapes as in `reference.attention`; accumulated at least in float32, also under autocast."""
    with torch.autocast(query.device.type, enabled=False):
        return FlashAttention.apply(query, key, value, pattern, segments, tile)  # type: ignore[no-any-return, no-untyped-call]


class FlashAttention(torch.autograd.Function):
    """O = softmax(Q K^T / sqrt(d)) V; saves Q, K, V, O and L."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, segments: Segments | None, tile: int
    ) -> Tensor:
        wide = torch.promote_types(query.dtype, torch.float32)
        output = torch.empty(*query.shape[:-1], value.shape[-1], dtype=wide, device=query.device)
        log_sum = torch.empty(query.shape[:-1], dtype=wide, device=query.device)  # L: (..., queries)
        for rows in _tiles(query.shape[-2], tile):
            q = query[..., rows, :].to(wide)
            largest = torch.full((*q.shape[:-1], 1), -torch.inf, dtype=wide, device=q.device)  # (..., rows, 1)
            total = torch.zeros_like(largest)
            weighted = torch.zeros(*q.shape[:-1], value.shape[-1], dtype=wide, device=q.device)  # (..., rows, d)
            for columns in _reached(pattern, rows, query.shape[-2], key.shape[-2], tile):
                k, v = key[..., columns, :].to(wide), value[..., columns, :].to(wide)
                scores = _scores(q, k, pattern, segments, rows, columns, key.shape[-2] - query.shape[-2])
                before, largest = largest, torch.maximum(largest, scores.amax(dim=-1, keepdim=True))
                weights, faded = torch.exp(scores - largest), torch.exp(before - largest)
                total = faded * total + weights.sum(dim=-1, keepdim=True)
                weighted = faded * weighted + weights @ v
            output[..., rows, :] = weighted / total
            log_sum[..., rows] = (largest + total.log()).squeeze(-1)
        ctx.save_for_backward(query, key, value, output, log_sum)
        ctx.arguments = pattern, segments, tile
        return output.to(query.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, log_sum = ctx.saved_tensors
        pattern, segments, tile = ctx.arguments
        wide, scale = log_sum.dtype, query.shape[-1] ** -0.5
        d_query, d_key, d_value = (torch.zeros_like(x, dtype=wide) for x in (query, key, value))
        inner = (grad * output).sum(dim=-1, keepdim=True)  # D = rowsum(dO * O): (..., queries, 1)
        for rows in _tiles(query.shape[-2], tile):
            q, d_out = query[..., rows, :].to(wide), grad[..., rows, :].to(wide)
            for columns in _reached(pattern, rows, query.shape[-2], key.shape[-2], tile):
                k, v = key[..., columns, :].to(wide), value[..., columns, :].to(wide)
                scores = _scores(q, k, pattern, segments, rows, columns, key.shape[-2] - query.shape[-2])
                weights = torch.exp(scores - log_sum[..., rows, None])  # P: (..., rows, columns)
                d_scores = weights * (d_out @ v.mT - inner[..., rows, :])  # dS = P * (dP - D)
                d_value[..., columns, :] += weights.mT @ d_out
                d_query[..., rows, :] += d_scores @ k * scale
                d_key[..., columns, :] += d_scores.mT @ q * scale
        return d_query.to(query.dtype), d_key.to(key.dtype), d_value.to(value.dtype), None, None, None


def _tiles(length: int, tile: int) -> Iterator[slice]:
    """0 .. length - 1 in pieces."""
    return (slice(start, min(start + tile, length)) for start in range(0, length, tile))


def _reached(pattern: Pattern, rows: slice, queries: int, keys: int, tile: int) -> Iterator[slice]:
    """The tiles of keys that some query of `rows` may see; the queries are the last positions of the keys."""
    positions = range(rows.start + keys - queries, rows.stop + keys - queries)
    return (columns for columns in _tiles(keys, tile) if pattern.reaches(positions, range(columns.start, columns.stop)))


def _scores(
    query: Tensor, key: Tensor, pattern: Pattern, segments: Segments | None, rows: slice, columns: slice, ahead: int
) -> Tensor:
    """One tile of Q K^T / sqrt(d), (..., rows, columns), with MASKED where a query does not see a key.

    `ahead`: the position of the first query.
    """
    scores: Tensor = query @ key.mT * query.shape[-1] ** -0.5
    at = torch.arange(rows.start, rows.stop, device=query.device)[:, None] + ahead
    seen = pattern.visible(at, torch.arange(columns.start, columns.stop, device=query.device))
    if segments is not None:
        seen = seen & Segments(segments.query[..., rows], segments.key[..., columns]).equal()
    return scores.masked_fill(~seen, MASKED)
