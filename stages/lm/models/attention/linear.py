"""Linear attention (Katharopoulos et al. 2020, "Transformers are RNNs"): time linear in the length, a state of fixed size.

The weight of a key is phi(q) . phi(k), phi(x) = elu(x) + 1, instead of exp(q . k): so sum_j (phi(q) . phi(k_j)) v_j is
phi(q) S with S = sum_j phi(k_j) v_j^T, whatever the number of keys. Three forms of the same: `parallel` by the definition,
`recurrent` one position after the other (equations 18 to 20), and `chunked`, parallel within chunks and recurrent between them.

Rotary positions turn the features where they weigh values, and leave those that normalise alone (Su et al. 2021, equation 19).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.models.attention.pattern import Pattern, Segments, mask

CHUNK = 64
"""Positions that are computed in parallel; the cheapest is about the width of a head."""


class Features(NamedTuple):
    """phi of queries or keys, (..., heads, sequence, d_head): turned by their positions, and as they are.

    The same tensor twice where there are no rotary positions.
    """

    turned: Tensor
    plain: Tensor

    def part(self, start: int, stop: int) -> "Features":
        """Positions start .. stop - 1."""
        plain = self.plain[..., start:stop, :]
        return Features(plain if self.turned is self.plain else self.turned[..., start:stop, :], plain)


@dataclass
class LinearState:
    """What is kept of all keys so far: sum phi(k) v^T (..., d_head, d_head), and sum phi(k) (..., 1, d_head)."""

    weighted: Tensor
    total: Tensor

    def times(self, factor: Tensor) -> "LinearState":
        """All of it, or nothing of the rows whose factor is 0."""
        return LinearState(factor * self.weighted, factor * self.total)

    def clear(self) -> None:
        """Forget all."""
        self.weighted, self.total = torch.zeros_like(self.weighted), torch.zeros_like(self.total)

    def put(self, rows: Tensor, other: "LinearState") -> None:
        """As for `KVCache`."""
        self.weighted[rows], self.total[rows] = other.weighted, other.total

    def reorder(self, rows: Tensor) -> None:
        """As for `KVCache`."""
        self.weighted, self.total = self.weighted.index_select(0, rows), self.total.index_select(0, rows)


def feature_map(x: Tensor) -> Tensor:
    """elu(x) + 1, which is positive: x + 1 above 0, exp(x) below."""
    return F.elu(x) + 1


def empty_state(batch: int, heads: tuple[int, ...], d_head: int, like: Tensor) -> LinearState:
    """The state of no keys at all, on the device of `like` and in its type, but at least in float32."""
    wide = torch.promote_types(like.dtype, torch.float32)
    weighted, total = (torch.zeros(batch, *heads, rows, d_head, device=like.device, dtype=wide) for rows in (d_head, 1))
    return LinearState(weighted, total)


def attention(query: Features, key: Features, value: Tensor, pattern: Pattern, segments: Segments | None = None) -> Tensor:
    """The fastest form: shapes as in `reference.attention`."""
    return chunked(query, key, value, segments) if pattern.causal else parallel(query, key, value, pattern, segments)


def parallel(query: Features, key: Features, value: Tensor, pattern: Pattern, segments: Segments | None = None) -> Tensor:
    """All pairs at once, by the definition: shapes as in `reference.attention`."""
    numerator, denominator = _pairs(query, key, value, mask(pattern, value.shape[-2], value.shape[-2], segments, value.device))
    return numerator / denominator


def recurrent(query: Features, key: Features, value: Tensor, state: LinearState) -> Tensor:
    """One position after the other, causal. `state` holds what went before them, and changes."""
    outputs = []
    for t in range(value.shape[-2]):
        q, k = query.part(t, t + 1), key.part(t, t + 1)  # (..., 1, d_head)
        state.weighted = state.weighted + k.turned.mT @ value[..., t : t + 1, :]
        state.total = state.total + k.plain
        outputs.append(q.turned @ state.weighted / (q.plain * state.total).sum(dim=-1, keepdim=True))
    return torch.cat(outputs, dim=-2)


def chunked(
    query: Features,
    key: Features,
    value: Tensor,
    segments: Segments | None = None,
    state: LinearState | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Chunk by chunk, causal. `state`, where given, holds what went before, and changes.

    A segment must be one run of positions, as documents in a window are: the sums then hold keys of one segment alone.
    """
    length, outputs, past = value.shape[-2], [], state
    for start in range(0, length, chunk):
        stop = min(start + chunk, length)
        q, k, v = query.part(start, stop), key.part(start, stop), value[..., start:stop, :]
        here = Segments(*(part[..., start:stop] for part in segments)) if segments else None
        numerator, denominator = _pairs(q, k, v, mask(Pattern(), stop - start, stop - start, here, v.device))
        if past is not None:
            more, size = q.turned @ past.weighted, (q.plain * past.total).sum(dim=-1, keepdim=True)
            reach = 1 if segments is None else _same(segments, slice(start, stop), start - 1)
            numerator, denominator = numerator + reach * more, denominator + reach * size
        outputs.append(numerator / denominator)
        if stop < length or state is not None:
            if segments is not None:  # what is carried are keys of the last segment alone
                last, kept = (_same(segments, slice(*part), stop - 1) for part in ((start, stop), (start - 1, start)))
                k, past = Features(k.turned * last, k.plain * last), past and past.times(kept)
            past = _extended(past, k, v)
    if state is not None and past is not None:
        state.weighted, state.total = past.weighted, past.total
    return torch.cat(outputs, dim=-2)


def _same(segments: Segments, positions: slice, position: int) -> Tensor:
    """(..., 1, positions, 1): 1 for those of the same segment as `position`, 0 for the others."""
    return (segments.key[..., positions] == segments.key[..., position, None])[..., None, :, None].long()


def _extended(past: LinearState | None, key: Features, value: Tensor) -> LinearState:
    """The sums with these keys and values, at least in float32."""
    wide = torch.promote_types(value.dtype, torch.float32)
    weighted, total = (key.turned.mT @ value).to(wide), key.plain.sum(dim=-2, keepdim=True).to(wide)
    return LinearState(weighted, total) if past is None else LinearState(past.weighted + weighted, past.total + total)


def _pairs(query: Features, key: Features, value: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """For each query, the weighted sum of the values it sees (..., queries, d_head), and the sum of the weights."""
    weights = query.turned @ key.turned.mT  # (..., queries, keys)
    sizes = weights if query.turned is query.plain else query.plain @ key.plain.mT
    if seen is not None:
        weights, sizes = weights * seen, sizes * seen
    return weights @ value, sizes.sum(dim=-1, keepdim=True)
