"""What transformer blocks may differ in, whatever model they are put together to: GPT, BERT, an encoder with a decoder."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from stages.lm.settings import Settings

FeedForwardKind = Literal["swiglu", "geglu", "silu", "gelu", "relu"]
AttentionKind = Literal["full", "sliding", "strided", "linear"]
Position = Literal["rope", "sinusoidal", "learned", "none"]

GATED = ("swiglu", "geglu")
"""Feed-forward networks of three matrices instead of two."""


class BlockSettings(Settings):
    """Options of a transformer block; the defaults are those of Llama (Touvron et al. 2023)."""

    norm: Literal["rms", "layer"] = "rms"
    """RMSNorm, or LayerNorm, which also takes the mean away and has a bias."""
    norm_position: Literal["pre", "post", "none"] = "pre"
    """pre: x + f(norm(x)), and a norm before the output layer; post: norm(x + f(x)); none: x + f(x)."""
    norm_eps: PositiveFloat = 1e-5
    """Added to the mean square (RMSNorm) or the variance (LayerNorm)."""
    qk_norm: bool = False
    """RMSNorm of every head's queries and keys, before they are rotated."""
    kv_heads: PositiveInt | None = None
    """Heads of keys and values, shared by groups of query heads: 1 is multi-query attention; by default as many as `heads`."""
    d_head: PositiveInt | None = None
    """Width of a head; by default d_model / heads."""
    attention: AttentionKind = "full"
    """What a query sees: all, a sliding window, its neighbourhood and every n-th position, or all through a kernel (linear)."""
    window: PositiveInt | None = None
    """sliding: how many positions a query sees, its own included."""
    stride: PositiveInt | None = None
    """strided: a query sees the last `stride` positions, and of those before them every one whose distance it divides."""
    global_every: PositiveInt | None = None
    """With an attention that is not full: every n-th block has full attention."""
    kernel: Literal["auto", "reference", "flash", "sdpa", "flex"] = "auto"
    """What computes softmax attention: the fastest for the case, the definition, our tiles, torch's SDPA or FlexAttention."""
    feed_forward: FeedForwardKind = "swiglu"
    """swiglu, geglu: W2(act(W1 x) * W3 x) with SiLU or GELU; silu, gelu, relu: W2 act(W1 x)."""
    bias: bool = False
    """Linear layers inside the blocks have biases."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the numbers that training zeroes in what each half of a block adds, and in the embeddings."""

    @model_validator(mode="after")
    def _check_attention(self) -> "BlockSettings":
        for kind, key in (("sliding", "window"), ("strided", "stride")):
            given = getattr(self, key) is not None
            if given != (self.attention == kind):
                raise ValueError(f"attention: {kind} and {key} go together; give both or neither")
        if self.global_every is not None and self.attention == "full":
            raise ValueError("global_every: attention is full in every block anyway; leave it out, or choose another attention")
        if self.attention == "linear" and self.kernel not in ("auto", "reference"):
            raise ValueError(f"kernel {self.kernel} computes softmax attention, and attention is linear; use auto or reference")
        return self

    def of_layer(self, index: int) -> "BlockSettings":
        """The options of block 0, 1, ...: every `global_every`-th has full attention."""
        if self.global_every is None or (index + 1) % self.global_every:
            return self
        return self.model_copy(update={"attention": "full", "window": None, "stride": None, "global_every": None})


def check_heads(d_model: int, heads: int, block: BlockSettings, position: Position) -> None:
    """Raises ValueError where d_model, heads, kv_heads and d_head do not fit together."""
    if block.d_head is None and d_model % heads:
        raise ValueError(f"d_model {d_model} is not divisible by heads {heads}; change one of them, or set d_head")
    if block.kv_heads is not None and heads % block.kv_heads:
        raise ValueError(f"heads {heads} is not divisible by kv_heads {block.kv_heads}; change one of them")
    width = block.d_head or d_model // heads
    if position == "rope" and width % 2:
        what = "d_head" if block.d_head else "d_model / heads"
        raise ValueError(f"rotary positions turn pairs, but {what} = {width} is odd; change it")


def default_d_ff(d_model: int, feed_forward: FeedForwardKind) -> int:
    """8/3 (gated) or 4 (plain) d_model, so that both have the same number of parameters, to the nearest multiple of 64."""
    width = 8 / 3 * d_model if feed_forward in GATED else 4 * d_model
    return max(1, round(width / 64)) * 64
