"""What ends a text beside its length: the end-of-text token, other tokens, and pieces of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stages.lm.bpe.interface import TextTokenizer
from stages.lm.errors import UserError
from stages.lm.inference.settings import DecodingSettings

StopReason = Literal["end of text", "max tokens", "stop id", "stop text"]


@dataclass(frozen=True)
class Stop:
    """When a text is done. The token or the piece of text that ends it is no part of it.

    Nor is a token of which a piece takes only the end: what stands before the piece in it is text that belongs to no token.
    """

    end_of_text: int | None = None
    ids: frozenset[int] = frozenset()
    pieces: tuple[bytes, ...] = ()
    """In UTF-8: tokens may end within a character."""
    vocab: Mapping[int, bytes] | None = None
    """The bytes of every token; needed where there are pieces."""

    def reason(self, tokens: Sequence[int]) -> StopReason | None:
        """Why a text ends with its last token, if it does."""
        if tokens[-1] == self.end_of_text:
            return "end of text"
        if tokens[-1] in self.ids:
            return "stop id"
        return "stop text" if self.pieces and self._where(self._tail(tokens)) is not None else None

    def cut(self, text: bytes) -> bytes:
        """The text up to the first piece that ends it."""
        return text[: self._where(text)]

    def before(self, tokens: Sequence[int]) -> tuple[list[int], bytes]:
        """The tokens that lie wholly before the first piece, and what comes before it of the token that it begins in."""
        assert self.vocab is not None
        text = self.cut(b"".join(self.vocab[token] for token in tokens))
        for count, token in enumerate(tokens):
            if len(text) < len(self.vocab[token]):
                return list(tokens[:count]), text
            text = text[len(self.vocab[token]) :]
        return list(tokens), b""

    def _where(self, text: bytes) -> int | None:
        return min((place for place in map(text.find, self.pieces) if place >= 0), default=None)

    def _tail(self, tokens: Sequence[int]) -> bytes:
        """The end of the text, long enough for every piece that the last token may have completed."""
        assert self.vocab is not None
        last = self.vocab[tokens[-1]]
        tail, enough = last, len(last) + max(map(len, self.pieces)) - 1
        for token in reversed(tokens[:-1]):
            if len(tail) >= enough:
                break
            tail = self.vocab[token] + tail
        return tail


def stop_of(settings: DecodingSettings, end_of_text: int, tokenizer: TextTokenizer) -> Stop:
    """What ends a text by the settings. Raises UserError for an id that the tokenizer does not have."""
    for token in settings.stop_ids:
        if not 0 <= token < tokenizer.vocab_size:
            raise UserError(f"stop_ids: {token} is no token of this tokenizer; its ids are 0 to {tokenizer.vocab_size - 1}")
    pieces = tuple(piece.encode() for piece in settings.stop)
    return Stop(end_of_text, frozenset(settings.stop_ids), pieces, tokenizer.vocab)
