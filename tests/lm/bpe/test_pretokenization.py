"""Pre-tokenization: the examples of the literature, the libraries' own patterns, and cuts that change nothing."""

import hypothesis.strategies as st
import pytest
import regex
from hypothesis import example, given
from tiktoken_ext import openai_public

from stages.lm.bpe.pretokenization import (
    CHARACTERS,
    PATTERNS,
    WORDS,
    compile_pattern,
    find_words,
    special_pattern,
    split_specials,
    stream_pieces,
)
from stages.lm.errors import UserError

TRICKY = st.text(st.sampled_from(list("aAbZé中文ǅʰ'’sStldmrevLVE12٣½ \n\r\t\u00a0\u0301\u200d.,!_/-<|>🙂ſ")), max_size=40)


def words(text: str, pattern: str) -> list[str]:
    return find_words(compile_pattern(pattern), text)


def test_the_assignments_example() -> None:
    expected = ["some", " text", " that", " i", "'ll", " pre", "-", "tokenize"]
    assert words("some text that i'll pre-tokenize", "gpt2") == expected


@given(TRICKY | st.text())
def test_named_patterns_equal_those_of_tiktoken(text: str) -> None:
    # `$` of Rust's regex is the very end of the text, which Python writes `\Z`.
    published = {"gpt2": openai_public.r50k_pat_str, "cl100k": _source("cl100k_base"), "o200k": _source("o200k_base")}
    for name, source in published.items():
        assert words(text, name) == regex.findall(source.replace("$", r"\Z"), text)


def _source(encoding: str) -> str:
    """The pattern in tiktoken's definition of an encoding, whose vocabulary would have to be downloaded."""
    from unittest import mock

    with mock.patch.object(openai_public, "load_tiktoken_bpe", return_value={}):
        return str(openai_public.ENCODING_CONSTRUCTORS[encoding]()["pat_str"])


@given(st.text(), st.sampled_from([r"\w+", r"(a)|(b+)", r"x*", r"\d", "."]))
def test_nothing_is_lost_with_any_pattern(text: str, pattern: str) -> None:
    found = words(text, pattern)
    assert "".join(found) == text
    assert all(found)


def test_a_pattern_that_is_none() -> None:
    with pytest.raises(UserError, match="neither gpt2, cl100k, o200k nor a valid regex"):
        compile_pattern("(")


def test_the_longest_special_token_wins() -> None:
    specials = special_pattern(frozenset(["<|a|>", "<|a|><|a|>"]))
    assert split_specials("x<|a|><|a|><|a|>y", specials) == ["x", "<|a|><|a|>", "", "<|a|>", "y"]
    assert split_specials("x|y", special_pattern(frozenset())) == ["x|y"]


@pytest.mark.parametrize("pattern", [*PATTERNS, WORDS, CHARACTERS, r"\S+|\s+", r"[^.]*\."])
@given(chunks=st.lists(TRICKY | st.sampled_from(["<|a|>", "<|a", "|>", "\n\n", "a b", "<|a|><|a|>"]), max_size=12))
@example(chunks=["x\n", "\n", "\ny"])
@example(chunks=["it'l", "l do"])
@example(chunks=["<|a|>", "<|a|>"])
@example(chunks=["snake", "_case", "‿", "x ", "y"])
def test_pieces_of_a_stream_have_the_words_of_the_whole(pattern: str, chunks: list[str]) -> None:
    special_tokens = ["<|a|>", "<|a|><|a|>", " b"]
    specials = special_pattern(frozenset(special_tokens))

    def tokens(text: str) -> list[str]:
        found = []
        for position, part in enumerate(split_specials(text, specials)):
            found += [f"special {part}"] if position % 2 else words(part, pattern)
        return found

    pieces = list(stream_pieces(chunks, special_tokens, pattern))
    assert [token for piece in pieces for token in tokens(piece)] == tokens("".join(chunks))


@pytest.mark.parametrize("pattern", ["gpt2", WORDS, CHARACTERS])
def test_streams_are_cut_and_not_held_back(pattern: str) -> None:
    pieces = list(stream_pieces(iter(["once upon a time, "] * 1000), ["<|endoftext|>"], pattern))
    assert max(map(len, pieces)) < 100
