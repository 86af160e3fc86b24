"""Settings of the families that translate: what a config file may say under `model`."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from stages.lm.settings import Settings


class Seq2SeqSettings(Settings):
    """What both pairs of encoder and decoder share."""

    trained_by: ClassVar[Literal["counting", "gradient"]] = "gradient"
    learns_from: ClassVar[Literal["pairs"]] = "pairs"
    task: ClassVar[Literal["translation"]] = "translation"

    context_length: PositiveInt = 128
    """The longest sentence that it reads or writes, in tokens, the one that ends it included."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the numbers that training zeroes, where the paper does."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """How much of the probability training's targets spread evenly over the vocabulary (Szegedy et al. 2016, section 7)."""


class TransformerSeq2SeqSettings(Seq2SeqSettings):
    """The transformer of Vaswani et al. 2017: post-norm, sinusoidal positions, ReLU, one table of word vectors for all."""

    family: Literal["transformer-seq2seq"]
    layers: PositiveInt
    """Number of blocks in the encoder, and in the decoder."""
    heads: PositiveInt
    """Attention heads in each block; d_model must be divisible by it."""
    d_model: PositiveInt
    """Width of the residual stream."""
    d_ff: PositiveInt | None = None
    """Inner width of the feed-forward networks; by default 4 d_model."""

    @model_validator(mode="after")
    def _check_heads(self) -> "TransformerSeq2SeqSettings":
        if self.d_model % self.heads:
            raise ValueError(f"d_model {self.d_model} is not divisible by heads {self.heads}; change one of them")
        return self

    @property
    def feed_forward_width(self) -> int:
        """`d_ff`, or its default for `d_model`."""
        return self.d_ff or 4 * self.d_model


class RnnSeq2SeqSettings(Seq2SeqSettings):
    """The recurrent network of Bahdanau et al. 2015: a GRU in both directions reads, a GRU with additive attention writes."""

    family: Literal["rnn-seq2seq"]
    d_model: PositiveInt
    """Width of the word vectors, of each direction's state, of the decoder's, and of the space in which they are compared."""


TranslatorSettings = TransformerSeq2SeqSettings | RnnSeq2SeqSettings
