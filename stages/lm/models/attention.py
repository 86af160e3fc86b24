"""Multi-head self-attention (Vaswani et al. 2017, section 3.2.2), causal, with rotary positions."""

import torch
from torch import Tensor, nn

from stages.lm.models.kernels import REFERENCE, Kernels
from stages.lm.models.kv_cache import KVCache
from stages.lm.models.layers import Linear
from stages.lm.models.rope import RotaryEmbedding


class MultiHeadSelfAttention(nn.Module):
    """Every position attends to itself and to those before it, in `num_heads` subspaces of d_model / num_heads dimensions."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        rope: RotaryEmbedding | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        kernels: Kernels = REFERENCE,
    ) -> None:
        super().__init__()
        self.num_heads, self.rope, self.kernels = num_heads, rope, kernels
        self.q_proj = Linear(d_model, d_model, device, dtype)
        self.k_proj = Linear(d_model, d_model, device, dtype)
        self.v_proj = Linear(d_model, d_model, device, dtype)
        self.output_proj = Linear(d_model, d_model, device, dtype)

    def forward(self, x: Tensor, token_positions: Tensor | None = None, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        """x: (..., sequence, d_model); token_positions: (sequence) or (..., sequence), by default 0, 1, 2, ...

        With a cache, x are the positions after those that the cache holds for `layer`.
        """
        query, key, value = (self._split(projection(x)) for projection in (self.q_proj, self.k_proj, self.v_proj))
        if self.rope is not None:
            if token_positions is None:
                token_positions = torch.arange(x.shape[-2], device=x.device)
            positions = token_positions.unsqueeze(-2)  # (..., 1, sequence): the same for every head
            query, key = self.rope(query, positions), self.rope(key, positions)
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        attended = self.kernels.causal_attention(query, key, value)  # (..., heads, sequence, d_head)
        return self.output_proj(attended.transpose(-3, -2).flatten(-2))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        """(..., sequence, d_model) -> (..., heads, sequence, d_head)."""
        return x.reshape(*x.shape[:-1], self.num_heads, -1).transpose(-3, -2)
