"""The tokenizer: text to ids and back."""

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from itertools import chain
from typing import Any, Self

from stages.lm.bpe.interface import AllowedSpecial, TextTokenizer, utf8
from stages.lm.bpe.merging import merge_symbols
from stages.lm.bpe.pretokenization import compile_pattern, find_words
from stages.lm.errors import UserError

COMPILED_CHARACTERS = 1 << 20
"""Texts of at least this size are worth loading the compiled encoder for."""

CACHED_WORDS, CACHED_LENGTH = 1 << 18, 64
"""How many words are remembered with their ids, and up to which length. One word too many, and all are forgotten: the memory
for them is bounded."""


class Tokenizer(TextTokenizer):
    """A byte-level BPE tokenizer. Every string can be encoded, and decoding gives the string back."""

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

    def encode(self, text: str, allowed_special: AllowedSpecial = "all") -> list[int]:
        """See `TextTokenizer.encode`; large texts take the compiled encoder, to the same ids."""
        if len(text) >= COMPILED_CHARACTERS and (encoder := self._compiled(frozenset(self.allowed(allowed_special)))):
            return list(encoder.encode_texts([text])[0])
        return super().encode(text, allowed_special)

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of text in which nothing is a special token."""
        return list(chain.from_iterable(map(self._words.__getitem__, find_words(self._pattern, text))))

    def encode_batch(self, texts: Iterable[str], allowed_special: AllowedSpecial = "all") -> list[list[int]]:
        """The ids of each text."""
        texts = list(texts)
        allowed = frozenset(self.allowed(allowed_special))
        if sum(map(len, texts)) >= COMPILED_CHARACTERS and (encoder := self._compiled(allowed)):
            return list(encoder.encode_texts(texts))
        return [self.encode(text, allowed) for text in texts]

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
