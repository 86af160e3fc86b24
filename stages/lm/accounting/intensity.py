"""Arithmetic intensity: operations for each byte that is read from memory or written to it.

A device that computes C operations and moves M bytes a second is kept busy by its arithmetic where the intensity is above C / M,
and waits for its memory below (Williams, Waterman and Patterson 2009, "Roofline"). Numbers of 2 bytes, as bf16 has.
"""

from collections.abc import Iterable
from typing import NamedTuple

from stages.lm.accounting import transformer
from stages.lm.models.block_settings import GATED
from stages.lm.models.settings import TransformerSettings

BYTES = 2
ADAMW = 14 / (4 * 7)
"""AdamW: 14 operations for each parameter, of which weight, gradient and two means are read and all but the gradient written."""


class Work(NamedTuple):
    """Operations, and the bytes that go with them."""

    flops: float
    moved: float

    @property
    def intensity(self) -> float:
        return self.flops / self.moved


def product(rows: int, inner: int, columns: int, times: int = 1) -> Work:
    """A matrix product (rows, inner) (inner, columns), both read once, its result written once."""
    return Work(2 * times * rows * inner * columns, BYTES * times * (rows * inner + inner * columns + rows * columns))


def together(works: Iterable[Work]) -> Work:
    """One after the other."""
    return Work(*(sum(numbers) for numbers in zip(*works, strict=True)))


def training(settings: TransformerSettings, vocab_size: int, batch: int) -> dict[str, Work]:
    """The products of a forward pass over `batch` sequences of full length, by component, and all of them.

    Scores are counted twice: written to memory between their two products, and in one kernel that never writes them; of all
    products together the former are part.
    """
    s, length, layers = settings, settings.context_length, settings.layers
    rows, queries, shared = batch * length, s.heads * s.head_width, s.key_value_heads * s.head_width
    outward, heads = 2 if s.feed_forward in GATED else 1, layers * batch * s.heads
    scores, sums = product(length, s.head_width, length, heads), product(length, length, s.head_width, heads)
    fused = Work(scores.flops + sums.flops, BYTES * layers * rows * (2 * queries + 2 * shared))
    to_queries, back = product(rows, s.d_model, queries, layers), product(rows, queries, s.d_model, layers)
    into, out = (product(rows, s.d_model, s.feed_forward_width, times * layers) for times in (outward, 1))
    parts = {
        "attention_projections": together([to_queries, product(rows, s.d_model, shared, 2 * layers), back]),
        "attention_scores": together([scores, sums]),
        "feed_forward": together([into, out]),
        "head": product(rows, s.d_model, vocab_size),
    }
    return parts | {"attention_scores, in one kernel": fused, "total": together(parts.values())}


def decoding(settings: TransformerSettings, vocab_size: int, batch: int, length: int) -> dict[str, Work]:
    """One more token for each of `batch` texts of `length` tokens: the weights, read once for all, and each text's own cache."""
    numbers = transformer.parameters(settings, vocab_size)
    matrices = numbers["attention"] + numbers["feed_forward"] + numbers["head"]
    read = transformer.cache_bytes(settings, batch, length, BYTES)
    queries = settings.heads * settings.head_width
    parts = {
        "weights": Work(2 * matrices * batch, BYTES * matrices),
        "cache": Work(4 * batch * length * settings.layers * queries, read),
    }
    return parts | {"total": together(parts.values())}
