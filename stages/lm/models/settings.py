"""Settings of the model families: what a config file may say under `model`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from stages.lm.settings import Settings

TrainedBy = Literal["counting", "gradient"]


class TransformerSettings(Settings):
    """A decoder-only transformer: pre-norm RMSNorm, rotary positions, SwiGLU, no biases."""

    trained_by: ClassVar[TrainedBy] = "gradient"

    family: Literal["transformer"]
    layers: PositiveInt
    """Number of transformer blocks."""
    heads: PositiveInt
    """Attention heads in each block; d_model must be divisible by it."""
    d_model: PositiveInt
    """Width of the residual stream."""
    d_ff: PositiveInt | None = None
    """Inner width of the feed-forward network; by default 8/3 (gated) or 4 (plain) d_model, to the nearest multiple of 64."""
    context_length: PositiveInt
    """The longest sequence of tokens that a prediction may see."""
    feed_forward: Literal["swiglu", "silu"] = "swiglu"
    """swiglu: W2(SiLU(W1 x) * W3 x); silu: W2 SiLU(W1 x)."""
    position: Literal["rope", "none"] = "rope"
    """How attention knows about order: rotary embeddings, or the causal mask alone."""
    rope_theta: PositiveFloat = 10000.0
    """Base of the rotary wavelengths."""
    norm_eps: PositiveFloat = 1e-5
    """Added to the mean square inside RMSNorm."""
    tie_embeddings: bool = False
    """Use the token embeddings as the output layer too."""

    @model_validator(mode="after")
    def _check_heads(self) -> "TransformerSettings":
        if self.d_model % self.heads:
            raise ValueError(f"d_model {self.d_model} is not divisible by heads {self.heads}; change one of them")
        if self.position == "rope" and self.d_model // self.heads % 2:
            raise ValueError(
                f"rotary positions turn pairs, but d_model / heads = {self.d_model // self.heads} is odd; change one of them"
            )
        return self

    @property
    def feed_forward_width(self) -> int:
        """`d_ff`, or its default for `d_model`."""
        if self.d_ff is not None:
            return self.d_ff
        width = 8 / 3 * self.d_model if self.feed_forward == "swiglu" else 4 * self.d_model
        return max(1, round(width / 64)) * 64


class NgramSettings(Settings):
    """An n-gram model with interpolated modified Kneser-Ney smoothing."""

    trained_by: ClassVar[TrainedBy] = "counting"

    family: Literal["ngram"]
    order: Annotated[int, Field(ge=1, le=16)] = 3
    """Length of the longest n-gram counted: 3 predicts a token from the two before it."""


ModelSettings = Annotated[TransformerSettings | NgramSettings, Field(discriminator="family")]
