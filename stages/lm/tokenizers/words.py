"""Which tokens begin a word: what whole-word masking needs to know of a tokenizer."""

import numpy as np
from numpy.typing import NDArray

from stages.lm.bpe.interface import TextTokenizer
from stages.lm.bpe.pretokenization import CHARACTERS
from stages.lm.tokenizers.symbols import SymbolTokenizer

COMMON = 1 << 16
"""Ids that are looked at to see whether tokens begin with spaces."""


def word_starts(tokenizer: TextTokenizer) -> NDArray[np.bool_]:
    """(vocab): whether each token begins a word; all others go on with the word of the token before.

    A token goes on if it begins with a letter, a digit, an apostrophe or a character beyond ASCII. So one that begins with a
    space begins a word, as in byte-pair encoders, and so does punctuation. Special tokens do, and all of a tokenizer of words.
    """
    if isinstance(tokenizer, SymbolTokenizer) and tokenizer.pattern != CHARACTERS:
        return np.ones(tokenizer.vocab_size, np.bool_)
    starts = np.array([not _goes_on(tokenizer.vocab[index]) for index in range(tokenizer.vocab_size)], np.bool_)
    starts[list(tokenizer.special_tokens.values())] = True
    return starts


def holds_spaces(tokenizer: TextTokenizer) -> bool:
    """Whether tokens hold the space before their word."""
    common = range(min(tokenizer.vocab_size, COMMON))
    return any(len(tokenizer.vocab[index]) > 1 and tokenizer.vocab[index].startswith(b" ") for index in common)


def _goes_on(token: bytes) -> bool:
    first = token[:1]
    return first.isalnum() or first == b"'" or first >= b"\x80"
