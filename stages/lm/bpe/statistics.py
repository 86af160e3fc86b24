"""What a tokenizer is like: its longest tokens, and how many bytes of text one token stands for."""

from collections.abc import Iterable
from itertools import islice

from stages.lm.bpe.tokenizer import Tokenizer


def longest_tokens(tokenizer: Tokenizer, number: int) -> list[bytes]:
    """The learned tokens of the most bytes, longest first, the earlier learned first among equals."""
    specials = set(tokenizer.special_tokens.values())
    learned = [token for index, token in sorted(tokenizer.vocab.items()) if index not in specials]
    return sorted(learned, key=len, reverse=True)[:number]


def bytes_per_token(tokenizer: Tokenizer, texts: Iterable[str], limit: int = 10 << 20) -> float | None:
    """The compression of `texts`: UTF-8 bytes over tokens, of the first texts up to `limit` bytes; None where they are empty."""
    read = tokens = 0
    iterator = iter(texts)
    while read < limit and (batch := list(islice(iterator, 64))):
        read += sum(len(text.encode()) for text in batch)
        tokens += sum(map(len, tokenizer.encode_batch(batch)))
    return read / tokens if tokens else None
