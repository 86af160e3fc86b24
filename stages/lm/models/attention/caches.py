"""Keys and values of what has been read, so that the next token costs one position instead of all."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from stages.lm.models.attention.linear import LinearState
from stages.lm.models.attention.pattern import Pattern

Placed = tuple[Tensor, Tensor, Tensor]
"""Keys and values (batch, heads, keys, d_head), and which of them each new position sees: (batch, 1, new, keys)."""


class KVCache:
    """Room for `capacity` positions of one layer; `length` of them are filled.

    It is filled in one of two ways: `extend` where all rows have read the same number of positions, `place` where they have not.
    """

    def __init__(self, batch: int, heads: int, capacity: int, d_head: int, device: torch.device, dtype: torch.dtype) -> None:
        self.keys = torch.zeros(batch, heads, capacity, d_head, device=device, dtype=dtype)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, new, d_head); returns all keys and values so far."""
        start, self.length = self.length, self.length + key.shape[-2]
        self.keys[:, :, start : self.length] = key
        self.values[:, :, start : self.length] = value
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def place(self, key: Tensor, value: Tensor, positions: Tensor, pattern: Pattern, reach: int) -> Placed:
        """Write (batch, heads, new, d_head) at `positions` (batch, new); all of a row's own are below `reach`.

        What a row has not written lies after its own positions, so that a causal pattern hides it.
        """
        rows = torch.arange(len(key), device=key.device)[:, None]
        self.keys[rows, :, positions], self.values[rows, :, positions] = key.transpose(1, 2), value.transpose(1, 2)
        seen = pattern.visible(positions[:, None, :, None], torch.arange(reach, device=key.device))
        return self.keys[:, :, :reach], self.values[:, :, :reach], seen

    def clear(self) -> None:
        """Forget all."""
        self.length = 0

    def put(self, rows: Tensor, other: "KVCache") -> None:
        """These rows of the batch become those of `other`."""
        self.keys[rows, :, : other.length] = other.keys[:, :, : other.length]
        self.values[rows, :, : other.length] = other.values[:, :, : other.length]

    def reorder(self, rows: Tensor) -> None:
        """Row i of the batch becomes what row rows[i] was: beams that go on from others."""
        self.keys, self.values = self.keys.index_select(0, rows), self.values.index_select(0, rows)


class WindowCache:
    """The last `window` positions of one layer, in a ring: position p lies at p % window."""

    def __init__(self, batch: int, heads: int, window: int, d_head: int, device: torch.device, dtype: torch.dtype) -> None:
        self.keys = torch.zeros(batch, heads, window, d_head, device=device, dtype=dtype)
        self.values = torch.zeros_like(self.keys)
        self.window, self.length = window, 0

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, new, d_head); returns the keys and values that the new positions may see.

        They are in order but where one position alone is new: it sees all of them, and no order matters to it.
        """
        new, start = key.shape[-2], self.length
        seen = key, value
        if new > 1 and start > 0:
            slots = torch.arange(max(0, start - self.window), start, device=key.device) % self.window
            seen = torch.cat((self.keys[:, :, slots], key), dim=2), torch.cat((self.values[:, :, slots], value), dim=2)
        self.length = start + new
        kept = min(new, self.window)
        slots = torch.arange(self.length - kept, self.length, device=key.device) % self.window
        self.keys[:, :, slots], self.values[:, :, slots] = key[:, :, -kept:], value[:, :, -kept:]
        if new == 1:
            filled = min(self.length, self.window)
            return self.keys[:, :, :filled], self.values[:, :, :filled]
        return seen

    def place(self, key: Tensor, value: Tensor, positions: Tensor, pattern: Pattern, reach: int) -> Placed:  # noqa: ARG002
        """As for `KVCache`, one new position a row, which sees all that the ring holds by then."""
        rows = torch.arange(len(key), device=key.device)[:, None]
        slots = positions % self.window
        self.keys[rows, :, slots], self.values[rows, :, slots] = key.transpose(1, 2), value.transpose(1, 2)
        filled = torch.arange(self.window, device=key.device) <= positions  # (batch, window)
        return self.keys, self.values, filled[:, None, None]

    def clear(self) -> None:
        """Forget all."""
        self.length = 0

    def put(self, rows: Tensor, other: "WindowCache") -> None:
        """As for `KVCache`."""
        self.keys[rows], self.values[rows] = other.keys, other.values

    def reorder(self, rows: Tensor) -> None:
        """As for `KVCache`."""
        self.keys, self.values = self.keys.index_select(0, rows), self.values.index_select(0, rows)


OwnCache = KVCache | WindowCache | LinearState


@dataclass
class MemoryCache:
    """Keys and values of an encoder's output: computed once, they stay while the decoder writes."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def reorder(self, rows: Tensor) -> None:
        """As for `KVCache`."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys.index_select(0, rows), self.values.index_select(0, rows)


@dataclass
class BlockCache:
    """What one block keeps: its own past, and the memory that it reads where it has cross-attention."""

    own: OwnCache
    memory: MemoryCache = field(default_factory=MemoryCache)

    def reorder(self, rows: Tensor) -> None:
        """As for `KVCache`."""
        self.own.reorder(rows)
        self.memory.reorder(rows)
