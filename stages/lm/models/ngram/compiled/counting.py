"""Count n-grams with the compiled functions: the twin of `ngram.counts.count`, in bounded memory, by several threads.

One sort gives the n-grams of all lengths. The positions of the stream are sorted by the tokens that begin there, in blocks of
first tokens, each of which fits into memory. Then length after length is read off: n-grams are runs of positions that share n
tokens, and an array by position says which n-gram of the length below begins there; one token further it names the suffix.
What is larger than memory lies in mapped files; they are read and written from front to back, or in one window at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.parallel import available_cores
from stages.lm.models.ngram.compiled.linking import link, tally_between
from stages.lm.models.ngram.compiled.sorting import describe, sorted_records
from stages.lm.models.ngram.counts import Indices, Level, Tokens, unigrams
from stages.lm.models.ngram.workspace import Workspace

Array = npt.NDArray[Any]

BLOCKS = 16
"""The least number of blocks, so that threads end together and the records of a few blocks are small beside the counts."""


@dataclass
class Block:
    """Positions that are sorted together, and where they come among all."""

    begin: int
    end: int
    """The pairs of tokens that its positions begin with, as `sorting.collect` numbers them."""
    rows: slice
    made: Array
    """How many n-grams of each length begin here, (order + 1)."""
    goes_on: int
    """1 if its first token is the last one of the block before, otherwise 0."""


@dataclass
class Sorted:
    """All positions of a stream in the order of the tokens that begin there; every array is (positions)."""

    positions: Array
    lengths: Array
    """Tokens to the end of the document, at most the order."""
    shared: Array
    """Tokens that the position has in common with the one before it."""

    def part(self, rows: slice) -> tuple[Array, Array, Array]:
        return self.positions[rows], self.lengths[rows], self.shared[rows]


class Counter:
    """Counts the n-grams of one stream. Results do not depend on the number of threads, nor on the memory given."""

    def __init__(self, workspace: Workspace, memory: int, threads: int | None = None) -> None:
        self.workspace, self.memory = workspace, memory
        self.threads = threads or available_cores()

    def count(self, ids: Tokens, order: int, vocab_size: int) -> list[Level]:
        """As `counts.count`."""
        stream = self.workspace.zeros(len(ids) + 1, ids.dtype)
        stream[0], stream[1:] = ids[-1], ids
        levels = [unigrams(ids, vocab_size)]
        if order == 1:
            return levels
        frequencies = levels[0].counts.astype(np.int64)
        frequencies[stream[0]] += 1
        blocks, found = self._sort(stream, frequencies, order)
        below, here = stream, stream
        for n in range(2, order + 1):
            below, here = here, self.workspace.zeros(len(stream), np.uint32)
            levels.append(self._level(n, blocks, found, stream, below, here))
        occurring = np.flatnonzero(frequencies)
        levels[1].first = levels[1].first[np.searchsorted(occurring, np.arange(vocab_size + 1))]
        return levels

    def tally(self, index: Indices, length: int) -> Indices:
        """As `kneser_ney.tally`."""
        counts = self.workspace.zeros(length, np.uint32)

        def add(window: tuple[int, int]) -> None:
            tally_between(index, *window, counts[slice(*window)])

        self._run(add, self._windows(length, counts.itemsize))
        return counts

    def _sort(self, stream: Array, frequencies: Array, order: int) -> tuple[list[Block], Sorted]:
        bits = len(frequencies).bit_length()
        record = 8 * (1 - order // -(64 // bits))
        most = max(1, min(self.memory // (4 * self.threads * record), -(len(stream) // -BLOCKS)))
        blocks = list(divide(frequencies, most, lambda token: followers(stream, token, len(frequencies))))
        span = len(frequencies) + 1
        found = Sorted(*(self.workspace.zeros(len(stream), dtype) for dtype in (np.uint32, np.uint8, np.uint8)))

        def sort(block: Block) -> None:
            size = block.rows.stop - block.rows.start
            records = sorted_records(stream, block.begin, block.end, span, size, order, bits)
            block.made[:] = describe(records, block.goes_on, order, bits, *found.part(block.rows))

        for block in blocks:
            block.made = np.zeros(order + 1, np.int64)
        self._run(sort, blocks)
        return blocks, found

    def _level(self, n: int, blocks: list[Block], found: Sorted, stream: Array, below: Array, here: Array) -> Level:
        bases = np.cumsum([np.zeros(len(blocks[0].made), np.int64), *(block.made for block in blocks)], axis=0)
        contexts, grams = (int(total) for total in bases[-1, n - 1 : n + 1])
        first, tokens, counts, suffix = (
            self.workspace.zeros(length, dtype)
            for length, dtype in ((contexts + 1, np.uint32), (grams, stream.dtype), (grams, np.uint32), (grams, np.uint32))
        )
        first[-1] = grams
        # Positions are written all over the two arrays, of which one window at a time is to be in memory.
        windows = self._windows(len(stream), 2 * here.itemsize, at_least=1)
        for window in windows:

            def write(work: tuple[Block, Array], window: tuple[int, int] = window) -> None:
                block, base = work
                arrays = first, tokens, counts, suffix
                link(n, found.part(block.rows), base[n], base[n - 1], stream, below, here, window, *arrays)

            self._run(write, zip(blocks, bases, strict=False))
        return Level(first, tokens, counts, suffix)

    def _windows(self, length: int, itemsize: int, at_least: int = 0) -> list[tuple[int, int]]:
        """Ranges that together are 0 to `length`, small enough for the memory, as many as threads unless said otherwise."""
        number = max(at_least or self.threads, -(length * itemsize // -max(1, self.memory // 2)))
        number = max(1, min(number, length))
        ends = [length * i // number for i in range(number + 1)]
        return list(pairwise(ends))

    def _run(self, work: Any, items: Iterable[Any]) -> None:
        if self.threads == 1:
            for item in items:
                work(item)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(work, items):
                pass


def divide(frequencies: Array, most: int, followers: Callable[[int], Array]) -> Iterator[Block]:
    """Blocks of consecutive tokens that occur at most `most` times together.

    A more frequent token is divided by what follows it, of which followers(token) says how often each does; a more frequent pair
    is a block of its own.
    """
    span, row = len(frequencies) + 1, 0
    for begin, end, size in runs(frequencies, most):
        parts = [(0, span, size)] if size <= most else list(runs(followers(begin), most))
        for number, (first, last, rows) in enumerate(parts):
            pairs = (span * begin + first, span * begin + last) if size > most else (span * begin, span * end)
            yield Block(*pairs, slice(row, row + rows), np.empty(0, np.int64), int(number > 0))
            row += rows


def runs(frequencies: Array, most: int) -> Iterator[tuple[int, int, int]]:
    """Ranges of numbers that occur at most `most` times together, or of one number, and how often they do; none that never do."""
    ends = np.concatenate(([0], np.cumsum(frequencies)))
    begin = 0
    while begin < len(frequencies):
        end = max(begin + 1, int(np.searchsorted(ends, ends[begin] + most, side="right")) - 1)
        if ends[end] > ends[begin]:
            yield begin, end, int(ends[end] - ends[begin])
        begin = end


def followers(stream: Array, token: int, vocab_size: int) -> Array:
    """How often a token is followed by nothing and by each token, (vocab_size + 1)."""
    counts = np.zeros(vocab_size + 1, np.int64)
    counts[0] = stream[-1] == token
    for begin in range(0, len(stream) - 1, 1 << 20):
        part = stream[begin : begin + (1 << 20) + 1]
        counts[1:] += np.bincount(part[1:][part[:-1] == token], minlength=vocab_size)
    return counts
