"""What kind of character a code point is, for all of Unicode, and reading one from UTF-8.

The table is made with `regex` itself, whose tables are newer than those of Python's `unicodedata`, so that both agree.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import regex

from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import load8

LETTER, NUMBER, SPACE, OTHER, UPPER, LOWER = 1, 2, 4, 8, 16, 32
"""Bits of a character's kind: one of the first four; the last two are o200k's letters and marks that may stand at the front
and at the end of a word."""

CLASSES = {
    LETTER: r"\p{L}",
    NUMBER: r"\p{N}",
    SPACE: r"\s",
    OTHER: r"[^\s\p{L}\p{N}]",
    UPPER: r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    LOWER: r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
}


@cache
def kinds() -> npt.NDArray[np.uint8]:
    """The kind of every code point, (0x110000,) bits."""
    table = np.zeros(0x110000, np.uint8)
    every_character = "".join(map(chr, range(0x110000)))
    for bit, pattern in CLASSES.items():
        for match in regex.finditer(f"{pattern}+", every_character):
            table[match.start() : match.end()] |= bit
    return table


@compiled
def code_point(position, end):  # type: ignore[no-untyped-def]
    """The character at an address and its length in bytes.

    A byte that begins no valid character before `end` stands for itself as a surrogate, as in Python's `surrogateescape`.
    """
    first = np.int64(load8(position))
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        length, value, least = 2, first & 0x1F, 0x80
    elif first < 0xF0:
        length, value, least = 3, first & 0x0F, 0x800
    else:
        length, value, least = 4, first & 0x07, 0x10000
    valid = 0xC2 <= first <= 0xF4 and position + length <= end
    if valid:
        for i in range(1, length):
            byte = np.int64(load8(position + i))
            valid &= byte & 0xC0 == 0x80
            value = value << 6 | byte & 0x3F
    if valid and least <= value <= 0x10FFFF and not 0xD800 <= value <= 0xDFFF:
        return value, length
    return 0xDC00 + first, 1


@compiled
def kind_at(position, end, table):  # type: ignore[no-untyped-def]
    """The kind of the character at an address, and its length in bytes."""
    character, length = code_point(position, end)
    return np.int64(load8(table + character)), length
