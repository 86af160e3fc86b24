"""Counting n-grams: the plain reference. `ngram.compiled.counting` gives the same arrays, faster and in bounded memory.

The n-grams of all lengths form a trie in sorted arrays, length by length. Within a length they are in the order of their tokens,
so the n-grams with the same context (all tokens but the last) are neighbours, and one array says where each context's begin.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.errors import UserError

Tokens = NDArray[np.unsignedinteger[Any]]
"""16 or 32 bits."""
Indices = NDArray[np.uint32]

MOST_TOKENS = 2**32 - 2
"""Indices have 32 bits."""
PIECE = 1 << 20
"""Tokens that are looked at at once where the stream may be larger than memory."""


@dataclass
class Level:
    """The distinct n-grams of one length n, in the order of their tokens; `first` is (contexts + 1), the others (n-grams)."""

    first: Indices
    """The n-grams whose context is the (n - 1)-gram c are those from first[c] to first[c + 1]."""
    tokens: Tokens
    """The last token of each."""
    counts: Indices
    """How often each occurs; of length 1, as the end of a document or inside, not as its start."""
    suffix: Indices
    """The index of the n-gram without its first token, one length below; empty for length 1."""


def count(ids: Tokens, order: int, vocab_size: int) -> list[Level]:
    """The n-grams of length 1 to `order` within documents; `ids` is a stream in which each document ends with the boundary.

    An n-gram may begin with the boundary (the document's start) or end with it (its end), never reach across. The n-grams of
    length 1 are all tokens of the vocabulary, seen or not.
    """
    boundary = ids[-1]
    stream = np.concatenate((ids[-1:], ids))
    levels = [unigrams(ids, vocab_size)]
    nodes = stream.astype(np.int64)  # the n-gram of the current length that ends at each position, -1 if it would reach across
    for length in range(2, order + 1):
        below, nodes = nodes, np.full_like(nodes, -1)
        inside = below[:-1] >= 0
        if length > 2:
            inside &= stream[:-1] != boundary
        ends = np.flatnonzero(inside) + 1
        pairs = below[ends - 1] * vocab_size + stream[ends]
        keys, inverse, counts = np.unique(pairs, return_inverse=True, return_counts=True)
        nodes[ends] = inverse
        suffix = np.empty(len(keys), dtype=np.uint32)
        suffix[inverse] = below[ends]
        first = np.searchsorted(keys, np.arange(len(levels[-1].tokens) + 1) * vocab_size)
        tokens = (keys % vocab_size).astype(ids.dtype)
        levels.append(Level(first.astype(np.uint32), tokens, counts.astype(np.uint32), suffix))
    return levels


def unigrams(ids: Tokens, vocab_size: int) -> Level:
    """All tokens of the vocabulary, each its own index."""
    counts = np.zeros(vocab_size, np.uint32)
    for begin in range(0, len(ids), PIECE):  # bincount makes 64-bit numbers of what it gets
        counts += np.bincount(ids[begin : begin + PIECE], minlength=vocab_size).astype(np.uint32)
    first = np.array([0, vocab_size], dtype=np.uint32)
    return Level(first, np.arange(vocab_size).astype(ids.dtype), counts, np.empty(0, np.uint32))


def check(ids: Tokens, vocab_size: int) -> None:
    """Raises UserError if there are no tokens, too many, or ids beyond the vocabulary."""
    if not len(ids):
        raise UserError("the training split holds no tokens; give the corpus more documents")
    if len(ids) > MOST_TOKENS:
        raise UserError(f"the training split holds {len(ids):,} tokens, but n-grams of at most {MOST_TOKENS:,} can be counted")
    if ids.max() >= vocab_size:
        raise UserError(
            f"the training split holds token {ids.max()}, but the vocabulary has {vocab_size}; tokenize the corpus again"
        )


def opening(levels: list[Level], boundary: int) -> list[slice]:
    """Of each length, the n-grams that begin with the boundary: they are neighbours, and nothing can precede them."""
    ranges = [slice(boundary, boundary + 1)]
    for level in levels[1:]:
        ranges.append(slice(int(level.first[ranges[-1].start]), int(level.first[ranges[-1].stop])))
    return ranges
