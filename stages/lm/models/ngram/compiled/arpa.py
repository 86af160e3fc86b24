"""Write the n-grams of an ARPA file with the compiled functions: the twin of `arpa._write_ngrams`.

Threads make the lines of a block of n-grams each; the blocks are written in their order.
"""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import load16, load32, load64, store8, store32, store64
from stages.lm.bpe.parallel import ordered_map
from stages.lm.models.ngram.arpa import END, SCALE, START, ZERO, scaled_logarithms
from stages.lm.models.ngram.backoff import Table

Array = npt.NDArray[Any]

BLOCK = 1 << 16
"""N-grams that a thread writes at once."""
NUMBER = 16
"""Room for a number and its tab."""
DIGITS = np.frombuffer("".join(f"{i:04}" for i in range(10_000)).encode(), np.uint32)
"""The four digits of each number below 10,000."""


class Words:
    """The text of all tokens, each with a space behind it, and `</s>` and `<s>` behind them, at one address."""

    def __init__(self, words: Sequence[str], boundary: int) -> None:
        encoded = [f"{word} ".encode() for word in [*words, START]]
        encoded[boundary] = f"{END} ".encode()
        self.text: Array = np.frombuffer(b"".join(encoded) + bytes(8), np.uint8)
        self.ends: Array = np.cumsum([0, *map(len, encoded)])
        self.longest = max(map(len, encoded))


def write_ngrams(stream: BinaryIO, tables: list[Table], words: Sequence[str], boundary: int) -> None:
    """As `arpa._write_ngrams`."""
    table, text = tables[-1], Words(words, boundary)
    arrays = np.array([[one.first.ctypes.data, one.tokens.ctypes.data, one.tokens.itemsize] for one in tables])
    room = 2 * NUMBER + len(tables) * (text.longest + 8)

    def lines(begin: int) -> memoryview:
        rows = slice(begin, min(begin + BLOCK, len(table.tokens)))
        path = np.empty(len(tables), np.int64)
        path[-1] = begin
        for n in range(len(tables) - 1, 0, -1):
            path[n - 1] = np.searchsorted(tables[n].first, np.uint32(path[n]), side="right") - 1
        probabilities, weights = scaled_logarithms(table.probability[rows]), scaled_logarithms(table.backoff[rows])
        out = np.empty((rows.stop - begin) * room, np.uint8)
        return out[: render(arrays, path, boundary, text.text, text.ends, probabilities, weights, DIGITS, out)].data

    for block in ordered_map(lines, range(0, len(table.tokens), BLOCK), threads=True):
        stream.write(block)


@compiled
def render(arrays, path, boundary, text, ends, probabilities, weights, digits, out):  # type: ignore[no-untyped-def]
    """The lines of consecutive n-grams, the first of which `path` names with its contexts; returns the bytes written."""
    n = len(path)
    begin = to = np.int64(out.ctypes.data)
    prefix = np.empty(n * (8 + int((ends[1:] - ends[:-1]).max())), np.uint8)
    start, length, after = np.int64(prefix.ctypes.data), np.int64(0), np.int64(0)
    for row in range(len(probabilities)):
        if path[n - 1] >= after:
            follow(arrays, path)
            length = put_words(arrays, path, n - 1, boundary, text, ends, start) - start
            after = np.int64(load32(arrays[n - 1, 0] + 4 * (path[n - 2] + 1)))
        to = put_number(np.int64(probabilities[row]), digits, to)
        store8(to, np.uint64(9))
        to = copy(start, length, to + 1)
        to = put_word(token_of(arrays, n - 1, path[n - 1]), text, ends, to) - 1
        if len(weights):
            store8(to, np.uint64(9))
            to = put_number(np.int64(weights[row]), digits, to + 1)
        store8(to, np.uint64(10))
        to += 1
        path[n - 1] += 1
    return to - begin


@compiled
def follow(arrays, path):  # type: ignore[no-untyped-def]
    """Move each context to the one that the next longer n-gram belongs to."""
    for n in range(len(path) - 1, 0, -1):
        while np.int64(load32(arrays[n, 0] + 4 * (path[n - 1] + 1))) <= path[n]:
            path[n - 1] += 1


@compiled
def token_of(arrays, level, index):  # type: ignore[no-untyped-def]
    address = arrays[level, 1] + arrays[level, 2] * index
    return np.int64(load16(address)) if arrays[level, 2] == 2 else np.int64(load32(address))


@compiled
def put_words(arrays, path, number, boundary, text, ends, to):  # type: ignore[no-untyped-def]
    """The first words of an n-gram, each with a space behind it; the boundary is the start."""
    for level in range(number):
        token = token_of(arrays, level, path[level])
        to = put_word(len(ends) - 2 if token == boundary else token, text, ends, to)
    return to


@compiled
def put_word(word, text, ends, to):  # type: ignore[no-untyped-def]
    return copy(np.int64(text.ctypes.data) + ends[word], ends[word + 1] - ends[word], to)


@compiled
def copy(source, length, to):  # type: ignore[no-untyped-def]
    """Copy bytes, up to 7 more than asked for; returns the address behind them."""
    for i in range(0, length, 8):
        store64(to + i, load64(source + i))
    return to + length


@compiled
def put_number(scaled, digits, to):  # type: ignore[no-untyped-def]
    """As `arpa.number`."""
    if scaled == 0:
        store8(to, np.uint64(48))
        return to + 1
    if scaled < 0:
        store8(to, np.uint64(45))
        to += 1
    if scaled == ZERO:
        store8(to, np.uint64(57))
        store8(to + 1, np.uint64(57))
        return to + 2
    whole, part = abs(scaled) // SCALE, abs(scaled) % SCALE
    leading = 3 if whole < 10 else 2 if whole < 100 else 1
    store32(to, np.uint64(digits[whole]) >> np.uint64(8 * leading))
    to += 4 - leading
    store8(to, np.uint64(46))
    store32(to + 1, np.uint64(digits[part // 10_000]) >> np.uint64(8))
    store32(to + 4, np.uint64(digits[part % 10_000]))
    return to + 8
