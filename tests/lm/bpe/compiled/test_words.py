"""The compiled patterns against `regex`: random Unicode, invalid UTF-8, every code point."""

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import regex
from hypothesis import example, given
from numba import njit

from stages.lm.bpe.compiled.blocks import word_ends
from stages.lm.bpe.compiled.characters import kinds
from stages.lm.bpe.compiled.memory import PADDING, load64, store64
from stages.lm.bpe.compiled.words import NAMES, word_end
from stages.lm.bpe.pretokenization import PATTERNS, compile_pattern

TRICKY = "aAbZé中文ǅʰ'’sStldmrevLVE12٣½² \n\r\t\x0b\x85\u00a0\u2028\u3000\u0301\u0903\u200d.,!_/-<|>🙂ſKⅫ\udc80\udcff"
CASED = st.text(st.characters(categories=["L", "M", "Zs", "P"]), max_size=20)
BYTES = st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape"))
# Whole characters cut anywhere: truncated sequences, continuation bytes alone.
CUT = st.tuples(st.text(max_size=10), st.integers(0, 3), st.integers(0, 3)).map(
    lambda drawn: drawn[0].encode()[drawn[1] : len(drawn[0].encode()) - drawn[2]].decode("utf-8", "surrogateescape")
)
TEXT = st.text(st.sampled_from(TRICKY), max_size=40) | CASED | BYTES | CUT | st.text()


@njit
def ends(pattern, text, end, table, found, one_by_one):  # type: ignore[no-untyped-def]
    """Where words end, batch by batch, or one by one as where a batch has no end."""
    position, number = text, 0
    while position < end:
        if one_by_one:
            store64(found + 8 * number, np.uint64(word_end(pattern, position, end, table)))
            number += 1
        else:
            number += word_ends(pattern, position, end, table, found + 8 * number)
        position = np.int64(load64(found + 8 * number - 8))
    return number


def compiled_words(name: str, data: bytes, behind: bytes = b"", before: bytes = b"", one_by_one: bool = False) -> list[bytes]:
    """The words of `data` when the bytes `before` and `behind` stand around it in memory."""
    buffer = np.frombuffer(before + data + behind + bytes(PADDING), np.uint8)
    found = np.zeros(len(data) + 1, np.int64)
    address = buffer.ctypes.data + len(before)
    number = ends(NAMES[name], address, address + len(data), kinds().ctypes.data, found[1:].ctypes.data, one_by_one)
    found[1:] -= address
    cuts = found[: number + 1].tolist()
    return [data[a:b] for a, b in pairwise(cuts)]


GARBAGE = st.sampled_from([b"", b"abc", b" ", b"\n\n", b"\xbf\xbf", b"\xe4\xb8", "é".encode(), b"'", b"s"])


@pytest.mark.parametrize("name", PATTERNS)
@given(text=TEXT, behind=GARBAGE, before=GARBAGE, one_by_one=st.booleans())
@example(text="中文A 中A中Bc AB中C'll", behind=b"", before=b"", one_by_one=False)
@example(text="\u0301A \u0301", behind=b"", before=b"", one_by_one=False)
@example(text=" \n  \r\n\t x\n", behind=b"", before=b"", one_by_one=False)
def test_equal_to_regex(name: str, text: str, behind: bytes, before: bytes, one_by_one: bool) -> None:
    expected = [word.encode("utf-8", "surrogateescape") for word in compile_pattern(name).findall(text)]
    assert compiled_words(name, text.encode("utf-8", "surrogateescape"), behind, before, one_by_one) == expected


AT_THE_EDGE = [
    "'",
    "'s",
    "'ll",
    "''s",
    " ",
    "  ",
    " \n",
    "\u3000",
    "\u3000\u3000",
    " \u3000",
    "é",
    "中",
    "🙂",
    "\udce4",
    "1",
    ".",
]


@pytest.mark.parametrize("filling", ["a", " ", "é", "\u3000", "'", "7"])
def test_whatever_lies_across_the_edge_of_a_block(filling: str) -> None:
    """Blocks are of 64 bytes: runs that end around there, with all kinds of characters and all kinds of followers behind them."""
    for length in range(60, 67):
        run = filling * (length // len(filling.encode()))
        for first in AT_THE_EDGE:
            for second in ["", "a", "s", " x", "\u3000", "'ve", "é"]:
                text = run + "x" * (length - len(run.encode())) + first + second
                expected = [word.encode("utf-8", "surrogateescape") for word in compile_pattern("gpt2").findall(text)]
                assert compiled_words("gpt2", text.encode("utf-8", "surrogateescape"), b"s ") == expected


def test_words_longer_than_a_batch() -> None:
    for text in ("a" * 5000 + " b", " " * 5000 + "b", "x " * 1500 + "y" * 3000 + "'s " + "é" * 3000):
        assert compiled_words("gpt2", text.encode()) == [word.encode() for word in compile_pattern("gpt2").findall(text)]


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.slow
def test_every_code_point(name: str) -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    text = "".join(f"a{character}b {character}1 '{character} A{character}\n" for character in characters)
    expected = [word.encode() for word in compile_pattern(name).findall(text)]
    assert compiled_words(name, text.encode()) == compiled_words(name, text.encode(), one_by_one=True) == expected


def test_runs_at_the_edges_of_machine_words() -> None:
    for length in range(1, 70):
        for behind in ("", " ", "é", "1", "'s"):
            text = "a" * length + behind
            expected = [word.encode() for word in compile_pattern("gpt2").findall(text)]
            assert compiled_words("gpt2", text.encode(), b"zz", one_by_one=True) == expected


def test_the_number_of_letters_is_that_of_regex() -> None:
    """Unicode grows: what counts as a letter is what `regex` says, whose pinned version knows these numbers."""
    everything = "".join(map(chr, range(0x110000)))
    table = kinds()
    for bit, pattern in ((1, r"\p{L}"), (2, r"\p{N}"), (4, r"\s")):
        assert int(np.count_nonzero(table & bit)) == len(regex.findall(pattern, everything))
