"""Training: learn merges from word counts, with pair counts kept up to date instead of counted anew.

All distinct words lie one after the other, a symbol for every byte, linked to its neighbours. A merge visits only the
positions of its pair and changes only the counts of the pairs around them. The next pair comes from a heap whose entries may
be stale: a count that has sunk since is put back with its true value when it surfaces. The vocabulary is in the order of
`vocabulary.py`: bytes, special tokens, merges.
"""

import heapq
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from stages.lm.bpe.chunks import COMPILED_BYTES, read_chunks
from stages.lm.bpe.counting import count_documents, count_file
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.pretokenization import PATTERNS
from stages.lm.bpe.vocabulary import Merges, Vocabulary, check_size, initial_vocabulary

Pair = tuple[int, int]
END = -1
"""The neighbour of the last symbol of a word, and the symbol at a position that was merged into its left neighbour."""


@dataclass(frozen=True)
class Trained:
    """A vocabulary by id, the merges in order, and the words that they were learned from, all and distinct ones."""

    vocab: Vocabulary
    merges: Merges
    words: int
    distinct_words: int


def train_bpe(
    input_path: str | os.PathLike[str],
    vocab_size: int,
    special_tokens: Sequence[str],
    pattern: str = "gpt2",
    workers: int | None = None,
) -> tuple[Vocabulary, Merges]:
    """Train a byte-level BPE on a text file.

    `vocab_size` counts the 256 bytes, the special tokens and the merges. Special tokens in the text end a document and are not
    counted. `workers`: how many count words in a large file, all cores by default; the result is the same for any number.
    Returns the vocabulary by id and the merges in order; fewer of them where no pair is left to merge. Raises UserError where
    `vocab_size` is below 256 plus the special tokens.
    """
    check_size(vocab_size, special_tokens)
    path = Path(input_path)
    if pattern in PATTERNS and path.is_file() and path.stat().st_size >= COMPILED_BYTES:
        batches = map(Documents.of_bytes, read_chunks(path, special_tokens))
        trained = _train_compiled(batches, vocab_size, special_tokens, pattern, workers)
        return trained.vocab, trained.merges
    return learn_merges(count_file(path, special_tokens, pattern, workers), vocab_size, special_tokens)


def train_documents(
    batches: Iterable[Documents],
    vocab_size: int,
    special_tokens: Sequence[str],
    pattern: str = "gpt2",
    workers: int | None = None,
) -> Trained:
    """Train on separate documents: no word reaches from one into the next."""
    check_size(vocab_size, special_tokens)
    stream = iter(batches)
    first = [batch for batch in [next(stream, None)] if batch is not None]
    everything = chain(first, stream)
    if pattern in PATTERNS and sum(batch.size for batch in first) >= COMPILED_BYTES:
        return _train_compiled(everything, vocab_size, special_tokens, pattern, workers)
    texts = chain.from_iterable(batch.texts() for batch in everything)
    words = count_documents(texts, special_tokens, pattern, workers)
    return Trained(*learn_merges(words, vocab_size, special_tokens), words.total(), len(words))


def _train_compiled(
    batches: Iterable[Documents], vocab_size: int, special_tokens: Sequence[str], pattern: str, workers: int | None
) -> Trained:
    """The fast twin, which costs a second to load: for large inputs only."""
    from stages.lm.bpe.compiled.trainer import train

    return train(batches, vocab_size, special_tokens, pattern, workers)


def learn_merges(word_counts: Mapping[bytes, int], vocab_size: int, special_tokens: Sequence[str]) -> tuple[Vocabulary, Merges]:
    """Learn merges from how often each word occurs: the most frequent pair first, ties to the greater pair of byte strings."""
    check_size(vocab_size, special_tokens)
    vocab = initial_vocabulary(special_tokens)
    merges: Merges = []
    pairs = PairIndex(word_counts)
    sort_keys = {symbol: _descending(token) for symbol, token in vocab.items()}

    def entry(pair: Pair) -> tuple[int, str, str, Pair]:
        return -pairs.counts[pair], sort_keys[pair[0]], sort_keys[pair[1]], pair

    heap = [entry(pair) for pair in pairs.counts]
    heapq.heapify(heap)
    while heap and len(vocab) < vocab_size:
        negative_count, _, _, pair = heapq.heappop(heap)
        if pairs.counts[pair] != -negative_count:
            if pairs.counts[pair]:
                heapq.heappush(heap, entry(pair))
            continue
        new = len(vocab)
        vocab[new] = vocab[pair[0]] + vocab[pair[1]]
        sort_keys[new] = _descending(vocab[new])
        merges.append((vocab[pair[0]], vocab[pair[1]]))
        for created in pairs.merge(pair, new):
            if pairs.counts[created]:
                heapq.heappush(heap, entry(created))
    return vocab, merges


class PairIndex:
    """The symbols of all distinct words, and for every adjacent pair its count and its positions."""

    def __init__(self, word_counts: Mapping[bytes, int]) -> None:
        self.symbols = [byte for word in word_counts for byte in word]
        self.weights = [count for word, count in word_counts.items() for _ in word]
        self.next: list[int] = []
        self.previous: list[int] = []
        for word in word_counts:
            start = len(self.next)
            self.next += [*range(start + 1, start + len(word)), END][: len(word)]
            self.previous += [END, *range(start, start + len(word) - 1)][: len(word)]
        self.counts: defaultdict[Pair, int] = defaultdict(int)
        self.positions: defaultdict[Pair, list[int]] = defaultdict(list)
        for position, follower in enumerate(self.next):
            if follower != END:
                self._add(position, (self.symbols[position], self.symbols[follower]))

    def merge(self, pair: Pair, new: int) -> set[Pair]:
        """Replace `pair` by the symbol `new` everywhere, from left to right; returns the pairs that now occur with `new`.

        Positions are in ascending order: a pair gets all of them in the one sweep that creates its younger symbol.
        """
        symbols, weights, following, previous, counts = self.symbols, self.weights, self.next, self.previous, self.counts
        created: set[Pair] = set()
        for position in self.positions.pop(pair):
            second = following[position]
            if second == END or (symbols[position], symbols[second]) != pair:
                continue  # an overlapping occurrence was merged before
            before, after, weight = previous[position], following[second], weights[position]
            symbols[position], symbols[second] = new, END
            following[position] = after
            if before != END:
                counts[symbols[before], pair[0]] -= weight
                created.add(self._add(before, (symbols[before], new)))
            if after != END:
                previous[after] = position
                counts[pair[1], symbols[after]] -= weight
                created.add(self._add(position, (new, symbols[after])))
        del counts[pair]
        return created

    def _add(self, position: int, pair: Pair) -> Pair:
        self.counts[pair] += self.weights[position]
        self.positions[pair].append(position)
        return pair


_COMPLEMENT = {byte: 255 - byte for byte in range(256)}


def _descending(token: bytes) -> str:
    """A string that sorts before another exactly when `token` is the greater of the two: what a heap of minima needs."""
    return token.decode("latin-1").translate(_COMPLEMENT) + "\u0100"
