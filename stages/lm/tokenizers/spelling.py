"""What the unknown token leaves out, and what it costs to say it.

An unknown token says that something is there and not what: no text can be had back from it, so its probability alone is no
length of any code for the text, and a tokenizer that makes everything unknown would seem to compress best. Followed by the bytes
that it hides and an end mark, each one of 257 letters, it gives the text back: the escape of text compression (Cleary and Witten
1984). Coded uniformly, so many letters are what unknown tokens cost beside their own probabilities.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.interface import TextTokenizer

NATS_PER_LETTER = math.log(257)


class Spelling:
    """Counts the letters that spell what a tokenizer's unknown token hides."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        """Raises ValueError where the tokenizer has no unknown token: then nothing is ever spelled."""
        if tokenizer.unknown is None:
            raise ValueError("this tokenizer has no unknown token")
        self.lengths = np.array([len(tokenizer.vocab[index]) for index in range(tokenizer.vocab_size)], np.int64)
        self.lengths[tokenizer.unknown] = -1  # its end mark is one letter more than the bytes that no token stands for
        self.lengths[tokenizer.end_of_text] = 0

    def letters(
        self, ids: npt.NDArray[Any], tokens: npt.NDArray[np.int64], document_bytes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """How many letters each document takes: int64 (documents,).

        `ids` are those of all documents one after the other, `tokens` how many each has, its end-of-text id included, and
        `document_bytes` the lengths of their texts in UTF-8.
        """
        if len(tokens) == 0:
            return np.zeros(0, np.int64)
        known = np.add.reduceat(self.lengths[ids], np.cumsum(tokens) - tokens)
        return document_bytes - known
