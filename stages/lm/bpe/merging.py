"""Encode one word: take the adjacent pair that was learned first, merge it, until no pair is in the list of merges."""

import heapq
from collections.abc import Mapping, Sequence
from itertools import pairwise

Pair = tuple[int, int]
SHORT = 64
"""Up to this many symbols looking at every pair again is quicker than keeping a heap."""
END = -1


def merge_symbols(symbols: Sequence[int], merges: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """Merge the ids of single bytes as far as possible; `merges` maps a pair to its rank and the id that replaces it."""
    return _merge_short(list(symbols), merges) if len(symbols) <= SHORT else _merge_long(list(symbols), merges)


def _merge_short(symbols: list[int], merges: Mapping[Pair, tuple[int, int]]) -> list[int]:
    while len(symbols) > 1:
        candidates = ((merges[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in merges)
        found = min(candidates, default=None)
        if found is None:
            break
        (_, merged), position = found
        symbols[position : position + 2] = [merged]
    return symbols


def _merge_long(symbols: list[int], merges: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """The same in O(n log n), so that a megabyte without a space is just a long word: a heap of (rank, position)."""
    following = [*range(1, len(symbols)), END]
    previous = [*range(END, len(symbols) - 1)]
    heap: list[tuple[int, int]] = []

    def offer(position: int) -> None:
        if position != END and following[position] != END:
            found = merges.get((symbols[position], symbols[following[position]]))
            if found:
                heapq.heappush(heap, (found[0], position))

    for position in range(len(symbols)):
        offer(position)
    while heap:
        rank, position = heapq.heappop(heap)
        second = following[position]
        if second == END:
            continue
        found = merges.get((symbols[position], symbols[second]))
        if found is None or found[0] != rank:
            continue  # a neighbour was merged since
        symbols[position], symbols[second] = found[1], END
        following[position] = following[second]
        following[second] = END
        if following[position] != END:
            previous[following[position]] = position
        offer(previous[position])
        offer(position)
    return [symbol for symbol in symbols if symbol != END]
