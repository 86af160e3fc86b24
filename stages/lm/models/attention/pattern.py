"""Who may attend to whom: a rule about positions, and segments that do not see each other."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pattern:
    """Which keys a query sees by their positions.

    Sliding window: Beltagy et al. 2020, "Longformer", section 3.1. Strided: Child et al. 2019, "Generating Long Sequences with
    Sparse Transformers", section 4.3, with both of its patterns in one head.
    """

    causal: bool = True
    """Only itself and what comes before it; otherwise both directions."""
    window: int | None = None
    """Only positions less than this far away."""
    stride: int | None = None
    """Only positions less than this far away, and those whose distance it divides."""

    def visible(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether queries at these positions see keys at those: broadcasts, boolean."""
        distance = query - key
        seen = distance >= 0 if self.causal else torch.ones_like(distance, dtype=torch.bool)
        if self.window is not None:
            seen = seen & (distance.abs() < self.window)
        if self.stride is not None:
            seen = seen & ((distance.abs() < self.stride) | (distance % self.stride == 0))
        return seen

    def sees_all(self, queries: int, keys: int) -> bool:
        """Whether each of `queries` last positions of `keys` sees them all."""
        ahead = not self.causal or queries == 1
        return ahead and (self.window is None or keys <= self.window) and (self.stride is None or keys <= self.stride)

    def reaches(self, queries: range, keys: range) -> bool:
        """Whether any of these queries may see any of these keys: False only where none does."""
        if self.causal and keys[0] > queries[-1]:
            return False
        nearest = max(queries[0] - keys[-1], keys[0] - queries[-1], 0)
        return self.window is None or nearest < self.window


class Segments(NamedTuple):
    """An integer for every query (..., queries) and every key (..., keys): a query sees keys of its own segment alone.

    So documents that share a window stay apart, and padding (a segment of its own) is seen by padding alone.
    """

    query: Tensor
    key: Tensor

    @classmethod
    def of(cls, positions: Tensor | None) -> "Segments | None":
        """The segments of self-attention: (..., sequence), or None where all is one text."""
        return None if positions is None else cls(positions, positions)

    def equal(self) -> Tensor:
        """(..., 1, queries, keys), the same for every head: True where both are of one segment."""
        return (self.query.unsqueeze(-1) == self.key.unsqueeze(-2)).unsqueeze(-3)


def positions_of(queries: int, keys: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Positions of the queries (queries, 1) and of the keys (keys): the queries are the last of the keys.

    Of 32 bits: a compiler computes a mask anew wherever scores are read.
    """
    position = torch.arange(keys, device=device, dtype=torch.int32)
    return position[keys - queries :, None], position


def mask(
    pattern: Pattern, queries: int, keys: int, segments: Segments | None = None, device: torch.device | None = None
) -> Tensor | None:
    """(queries, keys) or, with segments, (..., 1, queries, keys): True where a query may attend; None where all see all.

    In self-attention the queries are the last positions of the keys.
    """
    seen = None if pattern.sees_all(queries, keys) else pattern.visible(*positions_of(queries, keys, device))
    if segments is None:
        return seen
    return segments.equal() if seen is None else segments.equal() & seen
