"""Keys and values of the positions already read, so that the next token costs one position instead of all."""

import torch
from torch import Tensor


class KVCache:
    """Room for `context_length` positions in every layer; `length` of them are filled.

    Each layer calls `extend` once for new positions, then the model calls `advance`.
    """

    def __init__(
        self, layers: int, batch: int, heads: int, context_length: int, d_head: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (layers, batch, heads, context_length, d_head)
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, new, d_head) to a layer; returns all of its keys and values so far."""
        end = self.length + key.shape[-2]
        self.keys[layer, :, :, self.length : end] = key
        self.values[layer, :, :, self.length : end] = value
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, new: int) -> None:
        """Count `new` positions as filled."""
        self.length += new
