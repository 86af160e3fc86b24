"""Where the operations of the OPT models go: a published table, the formula behind it, and the right count.

The table is Stephen Roller's, of 2022: operations of one update, and the shares of "MHA" (the projections around attention), the
feed-forward networks, attention itself, and the logits. All of its numbers follow from sequences of 2048 tokens, a vocabulary of
51,200, the shapes of GPT-3 (Brown et al. 2020, table 2.1; Zhang et al. 2022, table 1), four forward passes for the blocks (one
forward, one recomputed, two backward) and three for the logits, if a token's projections are taken to cost 8 d^2 + 32 s d in each
layer. They cost 4 * 8 d^2 = 32 d^2: of the four passes the published count has one, and beside it twice the operations of
attention, which its neighbour counts too. So its first column falls as models grow, where the right one rises with the second:
projections and feed-forward networks are 1 : 2 at any size. What vanishes are the scores and the logits.
"""

from typing import NamedTuple

from stages.lm.accounting import transformer
from stages.lm.models.settings import TransformerSettings

LENGTH, VOCAB = 2048, 51_200
BLOCK_PASSES, LOGIT_PASSES = 4, 3
COLUMNS = ("projections", "feed_forward", "scores", "logits")


class Published(NamedTuple):
    """A line of the table: operations of an update, and the shares of `COLUMNS` in per cent."""

    flops: str
    shares: tuple[str, str, str, str]


class Size(NamedTuple):
    """A model's shape, the tokens of an update, and what was published of it."""

    layers: int
    d_model: int
    heads: int
    tokens: int
    published: Published

    @property
    def settings(self) -> TransformerSettings:
        """As one of our transformers."""
        return TransformerSettings(
            family="transformer",
            layers=self.layers,
            d_model=self.d_model,
            heads=self.heads,
            d_ff=4 * self.d_model,
            context_length=LENGTH,
            norm="layer",
            feed_forward="relu",
            position="learned",
            bias=True,
            tie_embeddings=True,
        )


SIZES = {
    "760M": Size(24, 1536, 16, 2**19, Published("4.3e15", ("35%", "44%", "14.8%", "5.8%"))),
    "1.3B": Size(24, 2048, 32, 2**20, Published("1.3e16", ("32%", "51%", "12.7%", "5.0%"))),
    "2.7B": Size(32, 2560, 32, 2**20, Published("2.5e16", ("29%", "56%", "11.2%", "3.3%"))),
    "6.7B": Size(32, 4096, 32, 2**21, Published("1.1e17", ("24%", "65%", "8.1%", "2.4%"))),
    "13B": Size(40, 5120, 40, 2**22, Published("4.1e17", ("22%", "69%", "6.9%", "1.6%"))),
    "30B": Size(48, 7168, 56, 2**22, Published("9.0e17", ("20%", "74%", "5.3%", "1.0%"))),
    "66B": Size(64, 9216, 72, 2**21, Published("9.5e17", ("18%", "77%", "4.3%", "0.6%"))),
    "175B": Size(96, 12_288, 96, 2**21, Published("2.4e18", ("17%", "80%", "3.3%", "0.3%"))),
}


class Count(NamedTuple):
    """Operations of one update: of `COLUMNS`."""

    parts: tuple[float, ...]

    @property
    def total(self) -> float:
        return sum(self.parts)

    @property
    def shares(self) -> tuple[float, ...]:
        """In per cent."""
        return tuple(100 * part / self.total for part in self.parts)


def right(size: Size) -> Count:
    """By our own count of a forward pass, with the passes of the table."""
    flops = transformer.forward_flops(size.settings, VOCAB, LENGTH)
    blocks = (flops["attention_projections"], flops["feed_forward"], flops["attention_scores"])
    sequences = size.tokens // LENGTH
    return Count((*(sequences * BLOCK_PASSES * part for part in blocks), sequences * LOGIT_PASSES * flops["head"]))


def as_published(size: Size) -> Count:
    """The same with the formula for the projections that gives the published numbers."""
    d = size.d_model
    return Count((size.tokens * size.layers * (8 * d * d + 32 * LENGTH * d), *right(size).parts[1:]))
