"""How much of a split stands in the training text word for word: n-grams of tokens that both have.

A model may have memorised what it was trained on, so the part of a split that it has seen tells little of new text. As in Brown
et al. 2020, appendix C, n-grams are compared; as in Touvron et al. 2023, "Llama 2", appendix A.6, a token is seen if it lies in
any n-gram that the training text has too, and a document is told by its share of seen tokens.

The comparison is exact. N-grams of the split are looked up by a hash that no two of them share, and what is found in the training
text is compared token by token. Documents are taken in blocks and the training text in chunks, so that memory does not grow with
either; the time is that of one pass over the training text for each block.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.evaluation.bootstrap import ratios
from stages.lm.evaluation.scores import Documents
from stages.lm.evaluation.settings import SplitSettings
from stages.lm.progress import Progress, progress
from stages.lm.tokens import TokenArray

BLOCK, CHUNK = 1 << 23, 1 << 20
"""Tokens of the split, whole documents at least, and tokens of the training text that are in memory at once."""
EDGES = (0.0, 0.2, 0.8, 1.0)
"""Shares of seen tokens that part documents: Llama 2 calls them clean below the second and dirty from the third."""

Ids = NDArray[Any]
Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]


def seen_tokens(split: TokenArray, train: TokenArray, n: int) -> NDArray[np.int64]:
    """How many tokens of each document of `split` lie in an n-gram that `train` has too: int64 (documents,).

    No n-gram reaches over the end of a document, and that end is no token of one.
    """
    blocks = list(_blocks(split.offsets))
    with progress("compare with the training text", len(blocks) * len(train.ids), " tokens") as bar:
        return np.concatenate([_seen_in_block(split, *block, train.ids, n, bar) for block in blocks])


def _blocks(offsets: Places) -> Iterator[tuple[int, int]]:
    """The first document of each block, and the one after its last."""
    first = 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + BLOCK, "right")) - 1
        yield first, (last := max(last, first + 1))
        first = last


def _seen_in_block(split: TokenArray, first: int, last: int, train: Ids, n: int, bar: Progress) -> NDArray[np.int64]:
    """`seen_tokens` of the documents from `first` to `last`."""
    ids = np.asarray(split.ids[split.offsets[first] : split.offsets[last]])
    offsets = split.offsets[first : last + 1] - split.offsets[first]
    starts = _starts(offsets, n)
    found = starts[_shared(ids, starts, train, n, bar)] if len(starts) else starts
    begun = np.zeros(len(ids) + 1, np.int64)  # 1 more where an n-gram of the training text begins, 1 less where it has ended
    begun[found] += 1
    begun[found + n] -= 1
    covered: Places = np.concatenate([[0], np.cumsum(np.cumsum(begun[:-1]) > 0)])
    return np.asarray(covered[offsets[1:]] - covered[offsets[:-1]])


def _starts(offsets: Places, n: int) -> Places:
    """Where n-grams begin that lie within one document, its end-of-text token left out."""
    counts = np.maximum(np.diff(offsets) - n, 0)  # a document of `size` ids has size - 1 - n + 1 of them
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.repeat(offsets[:-1], counts) + within)


def _shared(ids: Ids, starts: Places, train: Ids, n: int, bar: Progress) -> NDArray[np.bool_]:
    """Which of the n-grams that begin at `starts` the training text has too: bool (starts,)."""
    multiplier, keys, first, which = _distinct(ids, starts, n)
    shift = np.uint64(64 - (8 * len(keys)).bit_length())
    maybe = np.zeros(1 << (64 - int(shift)), np.bool_)  # most n-grams of the training text are told by the first bits of a hash
    maybe[keys >> shift] = True
    found = np.zeros(len(keys), np.bool_)
    for begin in range(0, max(len(train) - n + 1, 0), CHUNK):
        chunk = np.asarray(train[begin : begin + CHUNK + n - 1])
        hashes = _hashes([chunk[offset : len(chunk) - n + 1 + offset] for offset in range(n)], multiplier)
        here = np.flatnonzero(maybe[hashes >> shift])
        place = np.minimum(np.searchsorted(keys, hashes[here]), len(keys) - 1)
        new = (keys[place] == hashes[here]) & ~found[place]
        here, place = here[new], place[new]
        found[place[_equal(chunk, here, ids, first[place], n)]] = True
        bar.update(len(hashes))
    return found[which]


def _distinct(ids: Ids, starts: Places, n: int) -> tuple[np.uint64, Hashes, Places, Places]:
    """The distinct n-grams that begin at `starts`: the multiplier of their hashes, these in ascending order, where each n-gram
    begins first, and which of them begins at each of `starts`. Multipliers are tried until no two n-grams have the same hash."""
    generator = np.random.default_rng(n)
    while True:
        multiplier = generator.integers(1 << 63, dtype=np.uint64) << np.uint64(1) | np.uint64(1)
        hashes = _hashes((ids[starts + offset] for offset in range(n)), multiplier)
        keys, first, which = np.unique(hashes, return_index=True, return_inverse=True)
        if _equal(ids, starts, ids, starts[first[which]], n).all():
            return multiplier, keys, starts[first], which


def _hashes(columns: Iterable[Ids], multiplier: np.uint64) -> Hashes:
    """A polynomial in the ids of each n-gram, modulo 2^64; column i has the ids at place i of every n-gram."""
    hashes = np.zeros(1, np.uint64)
    for column in columns:
        hashes = hashes * multiplier + column.astype(np.uint64)
    return hashes


def _equal(ids: Ids, starts: Places, others: Ids, other_starts: Places, n: int) -> NDArray[np.bool_]:
    """Whether the n-grams at `starts` are those of `others` at `other_starts`, pair by pair: bool (starts,)."""
    equal = np.ones(len(starts), np.bool_)
    for offset in range(n):
        equal &= ids[starts + offset] == others[other_starts + offset]
    return equal


def overlap(documents: Documents, seen: NDArray[np.int64], n: int, settings: SplitSettings) -> dict[str, Any]:
    """The part of an evaluation's stats.json: the share of tokens seen, and what documents cost by their share of seen tokens."""
    tokens = documents.tokens - 1  # the end of text is not among them
    band_of = np.digitize(seen / np.maximum(tokens, 1), EDGES[1:-1])
    bands: list[dict[str, Any]] = []
    for band, (low, high) in enumerate(pairwise(EDGES)):
        inside = band_of == band
        bands.append({"from": low, "to": high, "documents": int(inside.sum()), "bits_per_byte": None})
        if inside.any():
            bits, lengths = documents.cost[inside, None] / math.log(2), documents.bytes[inside, None].astype(np.float64)
            bands[-1]["bits_per_byte"] = ratios(bits, lengths, settings)[0]
    return {
        "n": n,
        "tokens": int(tokens.sum()),
        "seen": int(seen.sum()),
        "documents_with_any": int((seen > 0).sum()),
        "by_share": bands,
    }
