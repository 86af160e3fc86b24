"""Settings of BERT: what a config file may say under `model`."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from stages.lm.models.block_settings import FeedForwardKind, Position
from stages.lm.models.stack_settings import StackSettings

MASK = "[MASK]"
"""Stands for a token to be filled in."""


class BertSettings(StackSettings):
    """An encoder that sees both directions and learns to fill in hidden tokens; defaults after Devlin et al. 2019."""

    trained_by: ClassVar[Literal["counting", "gradient"]] = "gradient"
    learns_from: ClassVar[Literal["masked"]] = "masked"
    task: ClassVar[Literal["masked"]] = "masked"

    family: Literal["bert"]
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the tokens that are predicted; of these 80 % are hidden, 10 % replaced by random tokens, 10 % left as is."""
    whole_words: bool = False
    """All tokens of a word are predicted together, or none."""

    norm: Literal["rms", "layer"] = "layer"
    """RMSNorm, or LayerNorm, which also takes the mean away and has a bias."""
    norm_position: Literal["pre", "post", "none"] = "post"
    """pre: x + f(norm(x)), and a norm before the output layer; post: norm(x + f(x)); none: x + f(x)."""
    norm_eps: PositiveFloat = 1e-12
    """Added to the mean square (RMSNorm) or the variance (LayerNorm)."""
    feed_forward: FeedForwardKind = "gelu"
    """swiglu, geglu: W2(act(W1 x) * W3 x) with SiLU or GELU; silu, gelu, relu: W2 act(W1 x)."""
    bias: bool = True
    """Linear layers inside the blocks have biases."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the numbers that training zeroes in what each half of a block adds, and in the embeddings."""
    position: Position = "learned"
    """How it knows about order: vectors added to the embeddings, rotary embeddings in attention, or not at all."""

    @model_validator(mode="after")
    def _check_attention_sees_both_sides(self) -> Self:
        if self.attention == "linear":
            raise ValueError("attention: linear attention is read from left to right here; use full, sliding or strided for bert")
        return self
