"""What a tokenizer is like: its longest tokens, and how many bytes of text one token stands for."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from stages.lm.bpe.interface import TextTokenizer
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.tokenizers.training import Trained


def statistics(trained: Trained, held_out: Iterable[str]) -> dict[str, Any]:
    """What a tokenizer's stats.json says; `held_out` are texts that it was not trained on."""
    tokenizer, found = trained.tokenizer, compression(trained.tokenizer, held_out)
    return {
        "vocab_size": tokenizer.vocab_size,
        "merges": len(tokenizer.merges) if isinstance(tokenizer, Tokenizer) else 0,
        "special_tokens": tokenizer.special_tokens,
        "end_of_text": tokenizer.end_of_text,
        "unknown": tokenizer.unknown,
        "words": trained.words,
        "distinct_words": trained.distinct_words,
        "known_words": trained.known_words,
        "longest_tokens": [token.decode("utf-8", "backslashreplace") for token in longest_tokens(tokenizer, 20)],
        "valid_bytes_per_token": found.bytes_per_token,
        "valid_unknown": found.unknown / found.tokens if tokenizer.unknown is not None and found.tokens else None,
    }


def longest_tokens(tokenizer: TextTokenizer, number: int) -> list[bytes]:
    """The tokens of the most bytes but for special ones, longest first, the smaller id first among equals."""
    named = {*tokenizer.special_tokens.values(), tokenizer.unknown}
    learned = [token for index, token in sorted(tokenizer.vocab.items()) if index not in named]
    return sorted(learned, key=len, reverse=True)[:number]


class Compression(NamedTuple):
    """Some texts and what became of them."""

    bytes: int
    """UTF-8 bytes of the texts."""
    tokens: int
    unknown: int
    """How many of the tokens are the unknown one."""

    @property
    def bytes_per_token(self) -> float | None:
        return self.bytes / self.tokens if self.tokens else None


def compression(tokenizer: TextTokenizer, texts: Iterable[str], limit: int = 10 << 20) -> Compression:
    """How far the first texts up to `limit` bytes are compressed."""
    read = tokens = unknown = 0
    iterator = iter(texts)
    while read < limit and (batch := list(islice(iterator, 64))):
        read += sum(len(text.encode()) for text in batch)
        for ids in tokenizer.encode_batch(batch):
            tokens += len(ids)
            unknown += ids.count(tokenizer.unknown) if tokenizer.unknown is not None else 0
    return Compression(read, tokens, unknown)
