"""The tokenizer: text to ids and back."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import chain
from typing import Any, Literal, Self

from stages.lm.bpe.merging import merge_symbols
from stages.lm.bpe.pretokenization import compile_pattern, find_words, special_pattern, split_specials, stream_pieces
from stages.lm.errors import UserError

AllowedSpecial = Literal["all"] | Collection[str]
"""Which special tokens may be encoded as such: all, or those named."""

COMPILED_CHARACTERS = 1 << 20
"""Texts of at least this size are worth loading the compiled encoder for."""

CACHED_WORDS, CACHED_LENGTH = 1 << 18, 64
"""How many words are remembered with their ids, and up to which length. One word too many, and all are forgotten: the memory
for them is bounded."""


class Tokenizer:
    """A byte-level BPE tokenizer. Every string can be encoded, and decoding gives the string back.

    `vocab_size` is one more than the greatest id: what a model's embedding needs.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Sequence[str] | None = None,
        pattern: str = "gpt2",
    ) -> None:
        """`vocab`: bytes by id; `merges` in the order in which they were learned; `pattern`: see `TokenizerSettings`.

        Special tokens that the vocabulary lacks are appended to it with the next ids. The arguments are not changed. Raises
        UserError where the result of a merge is not in the vocabulary.
        """
        self.vocab = dict(vocab)
        self.merges = list(merges)
        self.pattern = pattern
        ids = {token: index for index, token in self.vocab.items()}
        self.special_tokens: dict[str, int] = {}
        for token in special_tokens or ():
            index = ids.setdefault(token.encode(), max(self.vocab, default=-1) + 1)
            self.vocab[index] = token.encode()
            self.special_tokens[token] = index
        self.byte_ids = {byte: ids[bytes([byte])] for byte in range(256) if bytes([byte]) in ids}
        try:
            self.merge_ranks = {(ids[a], ids[b]): (rank, ids[a + b]) for rank, (a, b) in enumerate(self.merges)}
        except KeyError as error:
            raise UserError(f"merges: use the token {error.args[0]!r}, which is not in the vocabulary") from None
        self.vocab_size = max(self.vocab, default=-1) + 1
        self._words = _WordIds(self.byte_ids, self.merge_ranks)
        self._pattern = compile_pattern(pattern)
        self._encoders: dict[frozenset[str], Any] = {}

    @classmethod
    def from_files(
        cls,
        vocab_filepath: str | os.PathLike[str],
        merges_filepath: str | os.PathLike[str],
        special_tokens: Sequence[str] | None = None,
        pattern: str = "gpt2",
    ) -> Self:
        """Read GPT-2 style `vocab.json` and `merges.txt`, as training writes them. Raises UserError where they are damaged."""
        from stages.lm.bpe.files import read_gpt2

        vocab, merges = read_gpt2(vocab_filepath, merges_filepath, special_tokens or ())
        return cls(vocab, merges, special_tokens, pattern)

    @property
    def end_of_text(self) -> int:
        """The id of the first special token. Raises UserError where there is none."""
        if not self.special_tokens:
            raise UserError("tokenizer: has no special token to end a text with; give it one, <|endoftext|> for example")
        return next(iter(self.special_tokens.values()))

    def encode(self, text: str, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of `text`. Special tokens in it become their ids if allowed, and are ordinary text otherwise.

        Surrogates that `surrogateescape` made of invalid UTF-8 become those bytes again; any others U+FFFD.
        """
        allowed = frozenset(self._allowed(allowed_special))
        if len(text) >= COMPILED_CHARACTERS and (encoder := self._compiled(allowed)):
            return list(encoder.encode_texts([text])[0])
        specials = special_pattern(allowed)
        ids: list[int] = []
        for position, part in enumerate(split_specials(text, specials)):
            if position % 2:
                ids.append(self.special_tokens[part])
            else:
                ids += chain.from_iterable(map(self._words.__getitem__, find_words(self._pattern, part)))
        return ids

    def encode_bytes(self, data: bytes, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of UTF-8 text; bytes that are no valid UTF-8 are encoded as they are."""
        return self.encode(data.decode("utf-8", "surrogateescape"), allowed_special)

    def encode_batch(self, texts: Iterable[str], allowed_special: AllowedSpecial = "all") -> list[list[int]]:
        """The ids of each text."""
        texts = list(texts)
        allowed = frozenset(self._allowed(allowed_special))
        if sum(map(len, texts)) >= COMPILED_CHARACTERS and (encoder := self._compiled(allowed)):
            return list(encoder.encode_texts(texts))
        return [self.encode(text, allowed) for text in texts]

    def encode_iterable(self, chunks: Iterable[str], allowed_special: AllowedSpecial = "all") -> Iterator[int]:
        """The ids of the text that the chunks are parts of, lazily: the same ids as of the whole text, however it is cut.

        Memory stays constant, but for text that offers no place to cut it (see `stream_pieces`).
        """
        allowed = self._allowed(allowed_special)
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

    def _allowed(self, allowed_special: AllowedSpecial) -> list[str]:
        return [token for token in self.special_tokens if allowed_special == "all" or token in allowed_special]

    def _compiled(self, allowed: frozenset[str]) -> Any | None:
        """The compiled encoder for these special tokens, None where it has no twin of the pattern.

        Its module is named by a string because it changes when ids come and never which: what is made with a tokenizer does not
        depend on it.
        """
        if allowed not in self._encoders:
            module = import_module("stages.lm.bpe.compiled.encoder")
            self._encoders[allowed] = module.Encoder(self, allowed) if module.can_encode(self) else None
        return self._encoders[allowed]


class _WordIds(dict[str, list[int]]):
    """The ids of words met before; a missing word is encoded when it is asked for."""

    def __init__(self, byte_ids: Mapping[int, int], merge_ranks: Mapping[tuple[int, int], tuple[int, int]]) -> None:
        super().__init__()
        self.byte_ids, self.merge_ranks = byte_ids, merge_ranks

    def __missing__(self, word: str) -> list[int]:
        try:
            symbols = [self.byte_ids[byte] for byte in utf8(word)]
        except KeyError as error:
            raise UserError(f"text: has the byte 0x{error.args[0]:02x}, which is not in this tokenizer's vocabulary") from None
        ids = merge_symbols(symbols, self.merge_ranks)
        if len(word) <= CACHED_LENGTH:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = ids
        return ids


def utf8(text: str) -> bytes:
    """UTF-8, with surrogates of invalid bytes as those bytes and any others as U+FFFD."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
