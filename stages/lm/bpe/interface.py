"""What every tokenizer does: special tokens, streams, decoding. A kind of tokenizer adds how ordinary text becomes ids."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal

from stages.lm.bpe.pretokenization import special_pattern, split_specials, stream_pieces
from stages.lm.errors import UserError

AllowedSpecial = Literal["all"] | Collection[str]
"""Which special tokens may be encoded as such: all, or those named."""


class TextTokenizer(ABC):
    """Text to ids and back."""

    vocab: Mapping[int, bytes]
    """The bytes of every id."""
    special_tokens: dict[str, int]
    """Strings with an id of their own."""
    vocab_size: int
    """One more than the greatest id: what a model's embedding needs."""
    pattern: str
    """What never depends on each other's ids: the words of this regular expression, by name or as it is."""
    unknown: int | None = None
    """The id of whatever the vocabulary lacks. Where there is none, decoding gives every text back; where there is one, texts
    without it."""

    @abstractmethod
    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of text in which nothing is a special token."""

    @property
    def end_of_text(self) -> int:
        """The id of the first special token. Raises UserError where there is none."""
        if not self.special_tokens:
            raise UserError("tokenizer: has no special token to end a text with; give it one, <|endoftext|> for example")
        return next(iter(self.special_tokens.values()))

    def encode(self, text: str, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of `text`. Special tokens become their ids if allowed, the longest first, and are ordinary text otherwise.

        Surrogates that `surrogateescape` made of invalid UTF-8 stand for those bytes; any others for U+FFFD.
        """
        specials = special_pattern(frozenset(self.allowed(allowed_special)))
        ids: list[int] = []
        for position, part in enumerate(split_specials(text, specials)):
            if position % 2:
                ids.append(self.special_tokens[part])
            else:
                ids += self.encode_ordinary(part)
        return ids

    def encode_bytes(self, data: bytes, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of UTF-8 text; bytes that are no valid UTF-8 are encoded as they are."""
        return self.encode(data.decode("utf-8", "surrogateescape"), allowed_special)

    def encode_batch(self, texts: Iterable[str], allowed_special: AllowedSpecial = "all") -> list[list[int]]:
        """The ids of each text."""
        return [self.encode(text, allowed_special) for text in texts]

    def encode_iterable(self, chunks: Iterable[str], allowed_special: AllowedSpecial = "all") -> Iterator[int]:
        """The ids of the text that the chunks are parts of, lazily: the same ids as of the whole text, however it is cut.

        Memory stays constant, but for text that offers no place to cut it (see `stream_pieces`).
        """
        allowed = self.allowed(allowed_special)
        for piece in stream_pieces(chunks, allowed, self.pattern):
            yield from self.encode(piece, allowed)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not valid UTF-8, such as a part of a character, become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of `ids`. Raises UserError on an id that is not in the vocabulary."""
        try:
            return b"".join([self.vocab[index] for index in ids])
        except KeyError as error:
            raise UserError(f"token id {error.args[0]}: is not in the vocabulary of this tokenizer") from None

    def allowed(self, allowed_special: AllowedSpecial) -> list[str]:
        """The special tokens that may be encoded as such."""
        return [token for token in self.special_tokens if allowed_special == "all" or token in allowed_special]


def utf8(text: str) -> bytes:
    """UTF-8, with surrogates of invalid bytes as those bytes and any others as U+FFFD."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
