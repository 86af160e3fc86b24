"""Special tokens in a text: the next one, the longest where several begin."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.compiled.blocks import BLOCK, bytes_in
from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import load8, load64, same_bytes, trailing_zeros


class Special(NamedTuple):
    """Addresses of the bytes with which tokens begin, uint8, and of a table of each token's address, length and id, int64."""

    first_bytes: int
    firsts: int
    table: int
    number: int


class SpecialTokens:
    """The tables of some special tokens; they live as long as this object."""

    def __init__(self, tokens: Mapping[str, int]) -> None:
        """`tokens`: their ids."""
        longest_first = sorted(((token.encode(), index) for token, index in tokens.items()), key=lambda pair: -len(pair[0]))
        self._texts: list[npt.NDArray[Any]] = [np.frombuffer(token, np.uint8) for token, _ in longest_first]
        self._first_bytes = np.unique(np.array([text[0] for text in self._texts], np.uint8))
        rows = [(text.ctypes.data, len(token), index) for text, (token, index) in zip(self._texts, longest_first, strict=True)]
        self._table = np.array(rows, np.int64).reshape(-1, 3)
        self.tables = Special(self._first_bytes.ctypes.data, len(self._first_bytes), self._table.ctypes.data, len(rows))


@compiled
def next_special(special, position, end):  # type: ignore[no-untyped-def]
    """Where the next special token begins, its length and id; `end` and length 0 where there is none."""
    if special.number == 0:
        return end, 0, 0
    for base in range(position, end, BLOCK):
        begins = np.uint64(0)
        for i in range(special.firsts):
            begins |= bytes_in(base, 0, np.int64(load8(special.first_bytes + i)), 1)
        while begins:
            at = base + trailing_zeros(begins)
            for i in range(special.number):
                entry = special.table + 24 * i
                token, length = np.int64(load64(entry)), np.int64(load64(entry + 8))
                if at + length <= end and same_bytes(at, token, length):
                    return at, length, np.int64(load64(entry + 16))
            begins &= begins - np.uint64(1)
    return end, 0, 0
