"""Merge the bytes of one word: always the pair that was learned first, as `bpe.merging` does."""

import heapq
from typing import NamedTuple

import numpy as np

from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.lanes import lanes_16, lanes_64, least, with_lane
from stages.lm.bpe.compiled.memory import leading_zeros, load8, load32, load64, store16, store32, store64, trailing_zeros
from stages.lm.bpe.compiled.pairs import NO_RANK, Pairs, rank_of

SHORT = 64
"""Words of up to this many bytes have their live positions in the bits of one number."""
SCRATCH = 8 * (SHORT + 2)
"""Bytes of working memory that merging a short word needs: its symbols, with one on either side that merges with nothing."""

BYTES = np.uint64(256)
_POSITION = np.uint64(6)
_NEVER = NO_RANK << _POSITION
_ONE, _ALL = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)


class Merges(NamedTuple):
    """Addresses of the tables of a vocabulary.

    Words are merged in symbols: a byte, or BYTES + the rank of the merge that made it. ids: uint32, the id of each symbol.
    byte_ranks: (256, 256) uint32, the rank of each pair of bytes. joins: (256, 256) uint8, whether any merge joins a token that
    ends with the one byte and a token that begins with the other.
    """

    ids: int
    byte_ranks: int
    joins: int
    pairs: Pairs
    id_bytes: int


@compiled
def merge_word(merges, text, length, out, scratch):  # type: ignore[no-untyped-def]
    """Write the ids of the word at `text` to `out`; returns their number."""
    if length <= 16:
        return merge_short(merges, text, length, out, scratch, lanes_16(_NEVER))
    if length <= SHORT:
        return merge_short(merges, text, length, out, scratch, lanes_64(_NEVER))
    return merge_long(merges, text, length, out)


@compiled
def merge_short(merges, text, length, out, scratch, candidates):  # type: ignore[no-untyped-def]
    """The same for a word that has no more bytes than there are candidates, each `rank << 6 | position` of a pair: the least of
    them says at once what comes next and where."""
    symbols = scratch + 8
    before = load8(text)
    store64(symbols - 8, NO_RANK)
    store64(symbols + 8 * SHORT, NO_RANK)
    store64(symbols, before)
    for i in range(1, length):
        byte = load8(text + i)
        store64(symbols + 8 * i, byte)
        rank = load32(merges.byte_ranks + 4 * np.int64(before << np.uint64(8) | byte))
        candidates = with_lane(candidates, i - 1, rank << _POSITION | np.uint64(i - 1))
        before = byte
    alive = _ALL >> np.uint64(SHORT - length)
    while True:
        best = least(candidates)
        if best >= _NEVER:
            break
        position = np.int64(best & np.uint64(63))
        merged = BYTES + (best >> _POSITION)
        above = alive & (_ALL << np.uint64(position) << _ONE)
        second = trailing_zeros(above)
        third = trailing_zeros(above & (above - _ONE))
        first = 63 - leading_zeros(alive & ((_ONE << np.uint64(position)) - _ONE))
        alive &= ~(_ONE << np.uint64(second))
        store64(symbols + 8 * position, merged)
        rank_after = rank_of(merges.pairs, merged, load64(symbols + 8 * third))
        rank_before = rank_of(merges.pairs, load64(symbols + 8 * first), merged)
        candidates = with_lane(candidates, second, _NEVER)
        candidates = with_lane(candidates, position, rank_after << _POSITION | np.uint64(position))
        candidates = with_lane(candidates, first, rank_before << _POSITION | np.uint64(first))
    count = 0
    while alive:
        store_symbol(merges, out, count, load64(symbols + 8 * trailing_zeros(alive)))
        alive &= alive - _ONE
        count += 1
    return count


@compiled
def store_symbol(merges, out, index, symbol):  # type: ignore[no-untyped-def]
    """out[index] = the id of a symbol."""
    store_id(merges, out, index, load32(merges.ids + 4 * np.int64(symbol)))


@compiled
def store_id(merges, out, index, value):  # type: ignore[no-untyped-def]
    """out[index] = value, in the width of this vocabulary's ids."""
    if merges.id_bytes == 2:
        store16(out + 2 * index, value)
    else:
        store32(out + 4 * index, value)


@compiled
def merge_long(merges, text, length, out):  # type: ignore[no-untyped-def]
    """The same in O(n log n): neighbours linked, and a heap of rank and position that may hold entries out of date."""
    symbols = np.empty(length, np.uint64)
    following = np.arange(1, length + 1)
    previous = np.arange(-1, length - 1)
    dead = np.zeros(length, np.bool_)
    heap = [np.int64(0)]
    heap.pop()
    for i in range(length):
        symbols[i] = load8(text + i)
        if i:
            offer(heap, rank_of(merges.pairs, symbols[i - 1], symbols[i]), i - 1)
    while len(heap):
        entry = heapq.heappop(heap)
        position = entry & _POSITIONS
        second = following[position]
        if dead[position] or second == length:
            continue
        rank = rank_of(merges.pairs, symbols[position], symbols[second])
        if np.int64(rank) != entry >> 38:
            continue
        symbols[position] = BYTES + rank
        dead[second] = True
        after, before = following[second], previous[position]
        following[position] = after
        if after < length:
            previous[after] = position
            offer(heap, rank_of(merges.pairs, symbols[position], symbols[after]), position)
        if before >= 0:
            offer(heap, rank_of(merges.pairs, symbols[before], symbols[position]), before)
    count = 0
    for i in range(length):
        if not dead[i]:
            store_symbol(merges, out, count, symbols[i])
            count += 1
    return count


_POSITIONS = (1 << 38) - 1


@compiled
def offer(heap, rank, position):  # type: ignore[no-untyped-def]
    """Put a merge on the heap, if it is one."""
    if rank != NO_RANK:
        heapq.heappush(heap, np.int64(rank) << 38 | position)
