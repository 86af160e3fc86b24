"""Encoding and decoding: worked examples, the naive encoder, the published libraries, and streams."""

import itertools
from typing import Any

import hypothesis.strategies as st
import pytest
import tiktoken
from hypothesis import example, given

from stages.lm.bpe import Tokenizer, reference
from stages.lm.bpe.merging import SHORT, merge_symbols
from stages.lm.bpe.pretokenization import PATTERNS
from stages.lm.errors import UserError

EOT = "<|endoftext|>"
BYTES = {byte: bytes([byte]) for byte in range(256)}


def test_the_assignments_example() -> None:
    vocab = dict(enumerate([b" ", b"a", b"c", b"e", b"h", b"t", b"th", b" c", b" a", b"the", b" at"]))
    merges = [(b"t", b"h"), (b" ", b"c"), (b" ", b"a"), (b"th", b"e"), (b" a", b"t")]
    assert Tokenizer(vocab, merges).encode("the cat ate") == [9, 7, 1, 5, 10, 3]


def test_the_lectures_trace() -> None:
    # " tech": (' ','t') has rank 0, ('c','h') 98 -> ' t','e','ch'; then (' t','e') 287 -> ' te','ch'; then 5739 -> ' tech'.
    # ('e','c') of rank 100 comes too late, for 'c' is gone by then.
    space, t, e, c, h = b" tech"
    te, ch, tec, tech, ec = 256, 257, 258, 259, 260
    merges = {(space, t): (0, te), (c, h): (98, ch), (e, c): (100, ec), (te, e): (287, tec), (tec, ch): (5739, tech)}
    assert merge_symbols([space, t, e, c, h], merges) == [tech]
    del merges[tec, ch]
    assert merge_symbols([space, t, e, c, h], merges) == [tec, ch]


def test_published_ids(gpt2: Tokenizer) -> None:
    assert gpt2.encode("x\n\n" + EOT) == [87, 628, 50256]


@given(st.binary(max_size=200) | st.text("abc ", max_size=200).map(str.encode))
def test_a_word_is_merged_as_by_the_naive_encoder(small: Tokenizer, word: bytes) -> None:
    ids = {token: index for index, token in small.vocab.items()}
    merges = {(ids[a], ids[b]): (rank, ids[a + b]) for rank, (a, b) in enumerate(small.merges)}
    expected = [ids[token] for token in reference.encode_word(word, small.merges)]
    assert merge_symbols(list(word), merges) == expected


@given(st.integers(0, 3 * SHORT), st.integers(0, 3))
def test_overlapping_repeats(length: int, rest: int) -> None:
    merges = [(b"a", b"a"), (b"aa", b"aa"), (b"aa", b"a")]
    word = b"b" * rest + b"a" * length
    tokenizer = Tokenizer(BYTES | {256: b"aa", 257: b"aaaa", 258: b"aaa"}, merges)
    tokens = [tokenizer.vocab[index] for index in tokenizer.encode(word.decode())]
    assert tokens == reference.encode_word(word, merges)


@given(st.text())
@example("Hello, 🌍! 你好!")
@example(f"a{EOT}\r\n{EOT}{EOT} b")
@example("")
def test_round_trip(small: Tokenizer, text: str) -> None:
    assert small.decode(small.encode(text)) == text
    assert small.decode(small.encode(text, allowed_special=())) == text


@given(st.binary())
def test_round_trip_of_bytes(small: Tokenizer, data: bytes) -> None:
    assert small.decode_bytes(small.encode_bytes(data)) == data


@given(st.text(), st.sampled_from(["gpt2", "cl100k", "o200k"]))
@example("'ſ 'S it'LL", "cl100k")
@example("a\n  ", "cl100k")
@example("\ud83d\ude00 \udfff", "gpt2")
def test_equal_to_tiktoken(small: Tokenizer, text: str, pattern: str) -> None:
    tokenizer = Tokenizer(small.vocab, small.merges, [EOT], pattern)
    ranks = {token: index for index, token in small.vocab.items() if index not in (256, 257)}
    theirs = tiktoken.Encoding("small", pat_str=PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={EOT: 256})
    text = text.replace("\udc80", "")
    assert tokenizer.encode(text) == theirs.encode(text, allowed_special="all")
    assert tokenizer.encode(text + EOT, ()) == theirs.encode(text + EOT, disallowed_special=())


SEVERAL = {"<|a|>": 1000, "<|b|>": 1001, "b c": 1002, "\r\n": 1003}


@given(
    parts=st.lists(st.sampled_from([*SEVERAL, "<|", "|>", "a", " ", "b", "c", "\n"]) | st.text(max_size=3), max_size=12),
    allowed=st.sets(st.sampled_from([*SEVERAL])),
)
def test_allowed_special_as_tiktoken_means_it(parts: list[str], allowed: set[str]) -> None:
    """Those named become their ids, all others are ordinary text, wherever they stand; `all` allows all."""
    tokenizer = Tokenizer(BYTES | {index: token.encode() for token, index in SEVERAL.items()}, [], list(SEVERAL))
    ranks = {token: index for index, token in BYTES.items()}
    theirs = tiktoken.Encoding("bytes", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens=SEVERAL)
    text = "".join(parts)
    assert tokenizer.encode(text, allowed) == theirs.encode(text, allowed_special=allowed, disallowed_special=())
    assert tokenizer.encode(text) == theirs.encode(text, allowed_special="all")
    assert tokenizer.encode(text, {*allowed, "<|unheard of|>"}) == tokenizer.encode(text, allowed)


def test_special_tokens(small: Tokenizer) -> None:
    both, one = small.special_tokens[EOT + EOT], small.special_tokens[EOT]
    assert small.encode(EOT * 3) == [both, one]
    assert small.encode(EOT * 3, allowed_special=[EOT]) == [one] * 3
    assert not {both, one} & set(small.encode(EOT * 3, allowed_special=()))
    assert small.end_of_text == one


def test_missing_special_tokens_get_the_next_ids() -> None:
    specials = ["<|b|>", "<|a|>"]
    vocab = BYTES | {256: b"<|a|>"}
    tokenizer = Tokenizer(vocab, [], specials)
    assert tokenizer.special_tokens == {"<|b|>": 257, "<|a|>": 256}
    assert tokenizer.end_of_text == 257
    assert tokenizer.vocab_size == 258
    assert specials == ["<|b|>", "<|a|>"]
    assert len(vocab) == 257
    assert tokenizer.encode("<|a|><|b|>") == [256, 257]


def test_partial_characters_decode_to_replacement_characters(small: Tokenizer) -> None:
    assert small.decode([0xF0, 0x9F, 97]) == "\ufffda"
    assert small.decode([]) == ""


def test_bad_input(small: Tokenizer) -> None:
    with pytest.raises(UserError, match="token id 99999"):
        small.decode([1, 99999])
    with pytest.raises(UserError, match="not in the vocabulary"):
        Tokenizer(BYTES, [(b"a", b"b")])
    with pytest.raises(UserError, match="0x62"):
        Tokenizer({0: b"a"}, []).encode("ab")
    with pytest.raises(UserError, match="no special token"):
        _ = Tokenizer(BYTES, []).end_of_text


@given(st.data())
def test_a_stream_gives_the_ids_of_the_whole(small: Tokenizer, many_scripts: str, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([many_scripts, f"x\n\n{EOT}{EOT}y\n\n\nz", "it'll \n\n x", "a b c\n"]) | st.text())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    chunks = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    assert list(small.encode_iterable(chunks)) == small.encode(text)


def test_a_stream_by_lines_and_by_characters(gpt2: Tokenizer, many_scripts: str) -> None:
    text = many_scripts * 20
    assert list(gpt2.encode_iterable(text.splitlines(keepends=True))) == gpt2.encode(text)
    assert list(gpt2.encode_iterable(text)) == gpt2.encode(text)
    # Line by line is not the same, which is why streams hold text back.
    assert gpt2.encode("x\n") + gpt2.encode("\n") != gpt2.encode("x\n\n")


def test_a_stream_is_lazy(small: Tokenizer) -> None:
    endless = small.encode_iterable(itertools.repeat("once upon a time "))
    assert small.decode(itertools.islice(endless, 1000)).startswith("once upon a time once upon")


class Counting(dict[tuple[int, int], tuple[int, int]]):
    """Merges that count how often they are looked up."""

    lookups = 0

    def get(self, pair: tuple[int, int], default: Any = None) -> Any:
        self.lookups += 1
        return super().get(pair, default)


@pytest.mark.parametrize("length", [1_000, 50_000])
def test_long_words_cost_a_bounded_number_of_lookups(length: int) -> None:
    """n at the start, one for each entry of the heap and two for each merge: at most 6 n, where rescanning takes n squared."""
    merges = Counting({(97, 97): (0, 256), (256, 256): (1, 257), (98, 257): (2, 258)})
    word = [97, 97, 97, 97, 98] * (length // 5)
    assert merge_symbols(word, merges) == [257, *[258] * (length // 5 - 1), 98]
    assert length <= merges.lookups <= 6 * length


@pytest.mark.slow
def test_a_megabyte_without_a_space(gpt2: Tokenizer) -> None:
    """A word of a million letters costs O(n log n): by repeated scans it would take hours."""
    assert gpt2.decode(gpt2.encode("ab" * 500_000)) == "ab" * 500_000
