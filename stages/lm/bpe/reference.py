"""Byte-pair encoding written from its definition, to be read, and to hold the fast code to account in tests.

Sennrich, Haddow and Birch 2016, algorithm 1, over bytes. Every step looks at every word again, so training costs
O(merges x text) and encoding a word O(merges x length).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from stages.lm.bpe.vocabulary import Merges, Vocabulary, check_size, initial_vocabulary

Pair = tuple[bytes, bytes]


def train(word_counts: Mapping[bytes, int], vocab_size: int, special_tokens: Sequence[str]) -> tuple[Vocabulary, Merges]:
    """Learn merges from how often each word occurs, until the vocabulary is full or no pair is left."""
    check_size(vocab_size, special_tokens)
    vocab = initial_vocabulary(special_tokens)
    merges: Merges = []
    words = {word: [bytes([byte]) for byte in word] for word in word_counts}
    while len(vocab) < vocab_size:
        pair_counts: Counter[Pair] = Counter()
        for word, symbols in words.items():
            for pair in pairwise(symbols):
                pair_counts[pair] += word_counts[word]
        if not pair_counts:
            break
        best = max(pair_counts, key=lambda pair: (pair_counts[pair], pair))  # ties: the greater pair of byte strings
        words = {word: merge(symbols, best) for word, symbols in words.items()}
        vocab[len(vocab)] = best[0] + best[1]
        merges.append(best)
    return vocab, merges


def merge(symbols: list[bytes], pair: Pair) -> list[bytes]:
    """Replace every occurrence of `pair` by its concatenation, from left to right."""
    merged: list[bytes] = []
    position = 0
    while position < len(symbols):
        if tuple(symbols[position : position + 2]) == pair:
            merged.append(pair[0] + pair[1])
            position += 2
        else:
            merged.append(symbols[position])
            position += 1
    return merged


def encode_word(word: bytes, merges: Merges) -> list[bytes]:
    """The tokens of one word: each merge applied in the order in which they were learned."""
    symbols = [bytes([byte]) for byte in word]
    for pair in merges:
        symbols = merge(symbols, pair)
    return symbols
