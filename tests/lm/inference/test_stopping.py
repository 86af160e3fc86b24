"""What ends a text, on tokens that begin and end anywhere in it."""

import itertools

import pytest

from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.errors import UserError
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.stopping import Stop, stop_of

VOCAB = {0: b"<|endoftext|>", 1: b"ab", 2: b"c", 3: b"\xe2\x82", 4: b"\xac", 5: b"abcabc"}


def ends(pieces: list[bytes], tokens: list[int]) -> int | None:
    """After how many tokens the text ends."""
    stop = Stop(0, frozenset({4}), tuple(pieces), VOCAB)
    return next((length for length in range(1, len(tokens) + 1) if stop.reason(tokens[:length])), None)


def test_the_reasons() -> None:
    stop = Stop(0, frozenset({4}), (b"bc",), VOCAB)
    assert [stop.reason(tokens) for tokens in ([1, 0], [4], [1, 2], [2, 1])] == ["end of text", "stop id", "stop text", None]


@pytest.mark.parametrize("piece", [b"bca", b"c", b"cab", b"abcabcab", "€".encode(), b"bb"])
def test_a_piece_is_found_with_the_token_that_completes_it(piece: bytes) -> None:
    for tokens in itertools.product([1, 2, 3, 5], repeat=4):
        text, expected = b"", None
        for length, token in enumerate(tokens, start=1):
            text += VOCAB[token]
            if piece in text:
                expected = length
                break
        assert ends([piece], list(tokens)) == expected


def test_the_text_is_cut_at_the_first_piece() -> None:
    assert Stop(pieces=(b"ca", b"bc")).cut(b"abcabc") == b"a"
    assert Stop(pieces=(b"x",)).cut(b"abc") == Stop().cut(b"abc") == b"abc"


@pytest.mark.parametrize(
    ("tokens", "before"),
    [
        ([2, 1, 2], ([2, 1, 2], b"")),  # c|ab|c has no piece
        ([1, 2, 1], ([], b"a")),  # ab|c|ab ends with bca: its first token is cut, and c and ab are of the piece
        ([2, 5], ([2], b"a")),
        ([2, 1, 1], ([2, 1, 1], b"")),
        ([2, 1, 5], ([2, 1], b"a")),
    ],
)
def test_tokens_before_a_piece_that_begins_and_ends_within_some(tokens: list[int], before: tuple[list[int], bytes]) -> None:
    assert Stop(pieces=(b"bca",), vocab=VOCAB).before(tokens) == before


@pytest.mark.parametrize("piece", [b"bca", b"c", b"cab", b"abcabcab", "€".encode(), b"bb"])
def test_tokens_before_a_piece_and_what_is_left_of_the_next_are_the_text(piece: bytes) -> None:
    stop = Stop(pieces=(piece,), vocab=VOCAB)
    for tokens in itertools.product([1, 2, 3, 4, 5], repeat=4):
        whole, rest = stop.before(tokens)
        text = b"".join(VOCAB[token] for token in tokens)
        assert b"".join(VOCAB[token] for token in whole) + rest == text.partition(piece)[0]
        assert whole == list(tokens[: len(whole)])
        assert len(whole) == len(tokens) or len(rest) < len(VOCAB[tokens[len(whole)]])


def test_an_id_that_no_token_has() -> None:
    tokenizer = Tokenizer({0: b"a", 1: b"b"}, [])
    with pytest.raises(UserError, match=r"stop_ids: 2 is no token of this tokenizer; its ids are 0 to 1"):
        stop_of(DecodingSettings(stop_ids=[2]), 0, tokenizer)
