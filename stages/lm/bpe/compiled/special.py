"""Special tokens in a text: the next one, the longest where several begin."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from stages.lm.bpe.compiled.memory import load8, load64


class Special(NamedTuple):
    """Addresses of a table (256,) uint8 of the bytes that may begin a token, and of each token's address, length and id."""

    first_bytes: int
    table: int
    number: int


class SpecialTokens:
    """The tables of some special tokens; they live as long as this object."""

    def __init__(self, tokens: Mapping[str, int]) -> None:
        """`tokens`: their ids."""
        longest_first = sorted(((token.encode(), index) for token, index in tokens.items()), key=lambda pair: -len(pair[0]))
        self._texts: list[npt.NDArray[Any]] = [np.frombuffer(token, np.uint8) for token, _ in longest_first]
        self._first_bytes = np.zeros(256, np.uint8)
        self._first_bytes[[text[0] for text in self._texts]] = 1
        rows = [(text.ctypes.data, len(token), index) for text, (token, index) in zip(self._texts, longest_first, strict=True)]
        self._table = np.array(rows, np.int64).reshape(-1, 3)
        self.tables = Special(self._first_bytes.ctypes.data, self._table.ctypes.data, len(rows))


@njit(nogil=True, cache=True)
def next_special(special, position, end):  # type: ignore[no-untyped-def]
    """Where the next special token begins, its length and id; `end` and length 0 where there is none."""
    if special.number == 0:
        return end, 0, 0
    while position < end:
        if load8(special.first_bytes + np.int64(load8(position))):
            for i in range(special.number):
                entry = special.table + 24 * i
                token, length = np.int64(load64(entry)), np.int64(load64(entry + 8))
                if position + length <= end and same_bytes(position, token, length):
                    return position, length, np.int64(load64(entry + 16))
        position += 1
    return end, 0, 0


@njit(nogil=True, cache=True)
def same_bytes(first, second, length):  # type: ignore[no-untyped-def]
    different = np.uint64(0)
    for i in range(length):
        different |= load8(first + i) ^ load8(second + i)
    return different == 0
