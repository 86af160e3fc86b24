"""A transformer block: attention, then a feed-forward network, each added to the residual stream.

Norm after the addition: Vaswani et al. 2017. Norm before it: Xiong et al. 2020. As a decoder's block it attends to an encoder's
output in between.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from stages.lm.models.attention.caches import BlockCache
from stages.lm.models.attention.linear_multi_head import LinearAttention
from stages.lm.models.attention.multi_head import MultiHeadAttention, MultiHeadSelfAttention
from stages.lm.models.attention.pattern import Pattern, Segments
from stages.lm.models.block_settings import BlockSettings
from stages.lm.models.feed_forward import build_feed_forward
from stages.lm.models.kernels import REFERENCE, Kernels
from stages.lm.models.layers import Dropout
from stages.lm.models.norms import NORMS
from stages.lm.models.positions import RotaryEmbedding


class Memory(NamedTuple):
    """What a decoder reads beside its own past: an encoder's output (..., keys, d_model), and which of it each query sees."""

    states: Tensor
    segments: Segments | None = None


class TransformerBlock(nn.Module):
    """y = x + attention(norm(x)); z = y + feed_forward(norm(y)), with the norms where `options` put them."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        rope: RotaryEmbedding | None = None,
        options: BlockSettings = BlockSettings(),  # noqa: B008, it is immutable
        kernels: Kernels = REFERENCE,
        *,
        causal: bool = True,
        cross_attention: bool = False,
    ) -> None:
        """`causal` False lets every position see all others; `cross_attention` adds attention to a memory."""
        super().__init__()
        self.post_norm = options.norm_position == "post"
        self.ln1 = build_norm(d_model, options, kernels)
        build = LinearAttention if options.attention == "linear" else MultiHeadSelfAttention
        pattern = Pattern(causal, options.window, options.stride)
        self.attn = build(d_model, num_heads, rope, kernels=kernels, pattern=pattern, options=options)
        if cross_attention:
            self.ln_cross = build_norm(d_model, options, kernels)
            everything = Pattern(causal=False)
            self.cross_attn = MultiHeadAttention(d_model, num_heads, kernels=kernels, pattern=everything, options=options)
        self.ln2 = build_norm(d_model, options, kernels)
        self.ffn = build_feed_forward(options.feed_forward, d_model, d_ff, options.bias, kernels)
        self.dropout = Dropout(options.dropout)

    def forward(
        self,
        x: Tensor,
        token_positions: Tensor | None = None,
        cache: BlockCache | None = None,
        segments: Segments | None = None,
        memory: Memory | None = None,
        reach: int | None = None,
    ) -> Tensor:
        """x: (..., sequence, d_model) -> the same; the other arguments as in `MultiHeadAttention`."""
        own, across = (cache.own, cache.memory) if cache else (None, None)
        x = self._add(x, self.ln1, lambda h: self.attn(h, token_positions, own, segments, reach))
        if memory is not None:
            x = self._add(x, self.ln_cross, lambda h: self.cross_attn.across(h, memory.states, across, memory.segments))
        return self._add(x, self.ln2, self.ffn)

    def start(self, batch: int, capacity: int, can_go_back: bool = False) -> BlockCache:
        """What the block keeps of `batch` sequences, of which nothing has been read and `capacity` positions will be."""
        return BlockCache(self.attn.start(batch, capacity, can_go_back))

    def _add(self, x: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """The residual connection around a sublayer."""
        if self.post_norm:
            return norm(x + self.dropout(sublayer(x)))  # type: ignore[no-any-return]
        return x + self.dropout(sublayer(norm(x)))  # type: ignore[no-any-return]


def build_norm(d_model: int, options: BlockSettings, kernels: Kernels) -> nn.Module:
    """The norm of one place of a block; the identity where there are no norms."""
    if options.norm_position == "none":
        return nn.Identity()
    return NORMS[options.norm](d_model, options.norm_eps, kernels=kernels)


def build_final_norm(d_model: int, options: BlockSettings, kernels: Kernels) -> nn.Module:
    """What comes after the last block: a norm where the blocks leave the residual stream without one."""
    return build_norm(d_model, options, kernels) if options.norm_position == "pre" else nn.Identity()
