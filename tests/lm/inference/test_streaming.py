"""Streamed text: the same as the whole, and never taken back."""

import itertools

import pytest

from stages.lm.inference.generation import Token
from stages.lm.inference.stopping import Stop
from stages.lm.inference.streaming import text_of

VOCAB = {0: b"<|endoftext|>", 1: b"ab", 2: b"c", 3: b"\xe2\x82", 4: b"\xac"}


def stream(ids: list[int], stop: Stop) -> list[Token]:
    """What generation would say of these tokens."""
    tokens: list[Token] = []
    for length in range(1, len(ids) + 1):
        reason = stop.reason(ids[:length]) or ("max tokens" if length == len(ids) else None)
        tokens.append(Token(0, ids[length - 1], None, reason))
        if reason:
            break
    return tokens


@pytest.mark.parametrize("pieces", [(), (b"bca",), (b"cc", b"abcab"), ("€".encode(),)])
def test_the_pieces_are_the_text(pieces: tuple[bytes, ...]) -> None:
    stop = Stop(0, frozenset(), pieces, VOCAB)
    for ids in itertools.product(range(5), repeat=4):
        tokens = stream(list(ids), stop)
        whole = b"".join(VOCAB[token.id] for token in tokens if token.stop_reason != "end of text")
        assert "".join(text_of(tokens, VOCAB, stop)) == stop.cut(whole).decode(errors="replace")


def test_it_comes_as_soon_as_it_is_certain() -> None:
    stop = Stop(0, frozenset(), (b"cx",), VOCAB)
    assert list(text_of(stream([1, 2, 1, 3, 4, 1, 0], stop), VOCAB, stop)) == ["a", "b", "ca", "b", "", "€a", "b"]
