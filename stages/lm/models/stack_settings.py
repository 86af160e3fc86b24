"""The size of a stack of transformer blocks, whichever way its attention looks: a GPT's or a BERT's."""

from typing import Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from stages.lm.models.block_settings import BlockSettings, Position, check_heads, default_d_ff


class StackSettings(BlockSettings):
    """Blocks, how many and how wide, and how the model knows about order."""

    layers: PositiveInt
    """Number of transformer blocks."""
    heads: PositiveInt
    """Attention heads in each block; d_model must be divisible by it unless d_head is given."""
    d_model: PositiveInt
    """Width of the residual stream."""
    d_ff: PositiveInt | None = None
    """Inner width of the feed-forward network; by default 8/3 (gated) or 4 (plain) d_model, to the nearest multiple of 64."""
    context_length: PositiveInt
    """The longest sequence of tokens that a prediction may see."""
    position: Position = "rope"
    """How it knows about order: rotary embeddings in attention, vectors added to the embeddings, or the causal mask alone."""
    rope_theta: PositiveFloat = 10000.0
    """Base of the rotary wavelengths."""

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        check_heads(self.d_model, self.heads, self, self.position)
        return self

    @property
    def feed_forward_width(self) -> int:
        """`d_ff`, or its default for `d_model`."""
        return self.d_ff or default_d_ff(self.d_model, self.feed_forward)

    @property
    def head_width(self) -> int:
        """`d_head`, or its default."""
        return self.d_head or self.d_model // self.heads

    @property
    def key_value_heads(self) -> int:
        """`kv_heads`, or its default."""
        return self.kv_heads or self.heads
