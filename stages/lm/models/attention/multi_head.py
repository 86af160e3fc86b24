"""Multi-head attention (Vaswani et al. 2017, section 3.2.2), to the sequence itself or to a memory.

Grouped queries: Ainslie et al. 2023; with one key-value head they are the multi-query attention of Shazeer 2019. Norms of
queries and keys: Henry et al. 2020, as RMSNorm before the rotation as in later language models.
"""

import torch
from torch import Tensor, nn

from stages.lm.models.attention.caches import KVCache, MemoryCache, OwnCache, WindowCache
from stages.lm.models.attention.pattern import Pattern, Segments
from stages.lm.models.attention.weighted import weighted
from stages.lm.models.block_settings import BlockSettings
from stages.lm.models.kernels import REFERENCE, Kernels
from stages.lm.models.layers import Linear
from stages.lm.models.norms import RMSNorm
from stages.lm.models.positions import RotaryEmbedding


class MultiHeadAttention(nn.Module):
    """Every position attends in `num_heads` subspaces of d_head dimensions, by default d_model / num_heads.

    Where `options` say fewer kv_heads, query head h reads head h // (num_heads / kv_heads) of the keys and values.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        rope: RotaryEmbedding | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        kernels: Kernels = REFERENCE,
        *,
        pattern: Pattern = Pattern(),  # noqa: B008, it is immutable
        options: BlockSettings = BlockSettings(),  # noqa: B008, it is immutable
    ) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads = num_heads, options.kv_heads or num_heads
        self.d_head = options.d_head or d_model // num_heads
        self.rope, self.pattern, self.kernels = rope, pattern, kernels
        inner, shared = self.num_heads * self.d_head, self.num_kv_heads * self.d_head
        self.q_proj = Linear(d_model, inner, device, dtype, bias=options.bias)
        self.k_proj = Linear(d_model, shared, device, dtype, bias=options.bias)
        self.v_proj = Linear(d_model, shared, device, dtype, bias=options.bias)
        self.output_proj = Linear(inner, d_model, device, dtype, bias=options.bias)
        self.q_norm = RMSNorm(self.d_head, options.norm_eps, device, dtype, kernels) if options.qk_norm else None
        self.k_norm = RMSNorm(self.d_head, options.norm_eps, device, dtype, kernels) if options.qk_norm else None

    def forward(
        self,
        x: Tensor,
        token_positions: Tensor | None = None,
        cache: OwnCache | None = None,
        segments: Segments | None = None,
        reach: int | None = None,
    ) -> Tensor:
        """x: (..., sequence, d_model); token_positions: (sequence) or (..., sequence), by default 0, 1, 2, ...

        With a cache, x are the positions after those that it holds; `reach`, where rows have positions of their own, is more than
        any of these.
        """
        query = self._turned(self._query(x), token_positions)
        key = self._turned(self._key(x), token_positions)
        value = self._value(x)
        if isinstance(cache, KVCache | WindowCache):
            if reach is not None and token_positions is not None:
                return self._attend_placed(query, *cache.place(key, value, token_positions, self.pattern, reach))
            key, value = cache.extend(key, value)
        return self._attend(query, key, value, segments)

    def across(self, x: Tensor, memory: Tensor, cache: MemoryCache | None = None, segments: Segments | None = None) -> Tensor:
        """Cross-attention: queries from x (..., sequence, d_model), keys and values from memory (..., keys, d_model).

        A cache keeps the keys and values of its first call. Memory has positions of its own, so there is no rotation.
        """
        if cache is None or cache.keys is None or cache.values is None:
            key, value = self._key(memory), self._value(memory)
            if cache is not None:
                cache.keys, cache.values = key, value
        else:
            key, value = cache.keys, cache.values
        return self._attend(self._query(x), key, value, segments)

    def start(self, batch: int, capacity: int, can_go_back: bool = False) -> OwnCache:
        """The cache of `batch` sequences of at most `capacity` positions; of a window alone, unless it is to go back."""
        weight, window = next(self.parameters()), None if can_go_back else self.pattern.window
        shape = (batch, self.num_kv_heads, min(window or capacity, capacity), self.d_head)
        return (WindowCache if window else KVCache)(*shape, weight.device, weight.dtype)

    def _query(self, x: Tensor) -> Tensor:
        """(..., sequence, d_model) -> (..., heads, sequence, d_head)."""
        query = self._split(self.q_proj(x))
        return query if self.q_norm is None else self.q_norm(query)

    def _key(self, x: Tensor) -> Tensor:
        """(..., sequence, d_model) -> (..., kv_heads, sequence, d_head)."""
        key = self._split(self.k_proj(x))
        return key if self.k_norm is None else self.k_norm(key)

    def _value(self, x: Tensor) -> Tensor:
        return self._split(self.v_proj(x))  # (..., kv_heads, sequence, d_head)

    def _turned(self, x: Tensor, token_positions: Tensor | None) -> Tensor:
        """(..., heads, sequence, d_head), rotated by its positions where there are rotary ones."""
        if self.rope is None:
            return x
        if token_positions is None:
            token_positions = torch.arange(x.shape[-2], device=x.device)
        return self.rope(x, token_positions.unsqueeze(-2))  # type: ignore[no-any-return]  # the same for every head

    def _split(self, x: Tensor) -> Tensor:
        """(..., sequence, n * d_head) -> (..., n, sequence, d_head)."""
        return x.reshape(*x.shape[:-1], -1, self.d_head).transpose(-3, -2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, segments: Segments | None) -> Tensor:
        group, shape = self.num_heads // self.num_kv_heads, query.shape
        if group == 1:
            return self._output(self.kernels.attention(query, key, value, self.pattern, segments))
        if shape[-2] == 1 and segments is None and self.pattern.sees_all(1, key.shape[-2]):
            # Heads that share their keys are so many queries to them: the cache is read once, and not copied.
            rows = query.reshape(*shape[:-3], self.num_kv_heads, group, self.d_head)
            return self._output(self.kernels.attention(rows, key, value, Pattern(causal=False), None).reshape(shape))
        key, value = key.repeat_interleave(group, dim=-3), value.repeat_interleave(group, dim=-3)
        return self._output(self.kernels.attention(query, key, value, self.pattern, segments))

    def _attend_placed(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
        """(batch, heads, new, d_head) to what a cache holds: the heads that share keys are so many more queries to them."""
        group, shape = self.num_heads // self.num_kv_heads, query.shape
        queries = query.reshape(shape[0], self.num_kv_heads, group * shape[2], self.d_head)
        return self._output(weighted(queries, key, value, seen.repeat(1, 1, group, 1)).reshape(shape))

    def _output(self, attended: Tensor) -> Tensor:
        """(..., heads, sequence, d_head) -> (..., sequence, d_model)."""
        return self.output_proj(attended.transpose(-3, -2).flatten(-2))  # type: ignore[no-any-return]


class MultiHeadSelfAttention(MultiHeadAttention):
    """Every position attends to itself and to those before it."""
