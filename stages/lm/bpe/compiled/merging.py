"""Merge the bytes of one word: always the pair that was learned first, as `bpe.merging` does.

A pair's merge is one number, rank above result: `rank << 38 | id << 6`, NONE where there is none. The six low bits are left
for a position, so that the smallest number says at once what is merged next, into what, and where.
"""

import heapq
from typing import NamedTuple

import numpy as np
from numba import njit

from stages.lm.bpe.compiled.memory import leading_zeros, load8, load32, load64, store16, store32, store64, trailing_zeros

NONE = np.uint64(0xFFFFFFFFFFFFFFC0)
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
SHORT = 64
"""Words of up to this many bytes have their live positions in the bits of one number."""
SCRATCH = 16 * SHORT
"""Bytes of working memory that merging a short word needs: ids, then merges."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


class Merges(NamedTuple):
    """Addresses of the tables of a vocabulary.

    byte_ids: (256,) uint32, the id of each byte. byte_pairs: (256, 256) uint64, the merge of two bytes. pairs: open addressing
    over `1 << (64 - shift)` slots of a key (left id << 32 | right id, or EMPTY) and a merge.
    """

    byte_ids: int
    byte_pairs: int
    pairs: int
    shift: int
    id_bytes: int


@njit(nogil=True, cache=True)
def merge_of(merges, left, right):  # type: ignore[no-untyped-def]
    """The merge of two ids."""
    key = left << np.uint64(32) | right
    mask = (1 << (64 - merges.shift)) - 1
    slot = np.int64(key * _MIX >> np.uint64(merges.shift))
    while True:
        found = load64(merges.pairs + 16 * slot)
        if found == key:
            return load64(merges.pairs + 16 * slot + 8)
        if found == EMPTY:
            return NONE
        slot = (slot + 1) & mask


@njit(nogil=True, cache=True)
def fill_pairs(merges, keys, values):  # type: ignore[no-untyped-def]
    """Put every pair and its merge into the empty table."""
    mask = (1 << (64 - merges.shift)) - 1
    for i in range(len(keys)):
        slot = np.int64(keys[i] * _MIX >> np.uint64(merges.shift))
        while load64(merges.pairs + 16 * slot) != EMPTY:
            slot = (slot + 1) & mask
        store64(merges.pairs + 16 * slot, keys[i])
        store64(merges.pairs + 16 * slot + 8, values[i])


@njit(nogil=True, cache=True)
def merge_word(merges, text, length, out, scratch):  # type: ignore[no-untyped-def]
    """Write the ids of the word at `text` to `out`; returns their number."""
    if length <= SHORT:
        return merge_short(merges, text, length, out, scratch)
    return merge_long(merges, text, length, out)


@njit(nogil=True, cache=True)
def merge_short(merges, text, length, out, scratch):  # type: ignore[no-untyped-def]
    ids, candidates = scratch, scratch + 8 * SHORT
    before = np.int64(load8(text))
    store64(ids, load32(merges.byte_ids + 4 * before))
    for i in range(1, length):
        byte = np.int64(load8(text + i))
        store64(ids + 8 * i, load32(merges.byte_ids + 4 * byte))
        store64(candidates + 8 * (i - 1), load64(merges.byte_pairs + 8 * (before << 8 | byte)) | np.uint64(i - 1))
        before = byte
    store64(candidates + 8 * (length - 1), NONE)
    alive = _ALL >> np.uint64(SHORT - length)
    while True:
        best = NONE
        for i in range(length):
            best = min(best, load64(candidates + 8 * i))
        if best >= NONE:
            break
        position = np.int64(best & np.uint64(63))
        merged = best >> np.uint64(6) & np.uint64(0xFFFFFFFF)
        store64(ids + 8 * position, merged)
        above = alive & (_ALL << np.uint64(position) << _ONE)
        second = trailing_zeros(above)
        store64(candidates + 8 * second, NONE)
        alive &= ~(_ONE << np.uint64(second))
        above &= above - _ONE
        value = NONE
        if above:
            value = merge_of(merges, merged, load64(ids + 8 * trailing_zeros(above)))
        store64(candidates + 8 * position, value | np.uint64(position))
        below = alive & ((_ONE << np.uint64(position)) - _ONE)
        if below:
            left = 63 - leading_zeros(below)
            store64(candidates + 8 * left, merge_of(merges, load64(ids + 8 * left), merged) | np.uint64(left))
    count = 0
    while alive:
        store_id(merges, out, count, load64(ids + 8 * trailing_zeros(alive)))
        alive &= alive - _ONE
        count += 1
    return count


@njit(nogil=True, cache=True)
def store_id(merges, out, index, value):  # type: ignore[no-untyped-def]
    """out[index] = value, in the width of this vocabulary's ids."""
    if merges.id_bytes == 2:
        store16(out + 2 * index, value)
    else:
        store32(out + 4 * index, value)


@njit(nogil=True, cache=True)
def merge_long(merges, text, length, out):  # type: ignore[no-untyped-def]
    """The same in O(n log n): neighbours linked, and a heap of rank and position that may hold entries out of date."""
    ids = np.empty(length, np.uint64)
    following = np.arange(1, length + 1)
    previous = np.arange(-1, length - 1)
    dead = np.zeros(length, np.bool_)
    heap = [np.int64(0)]
    heap.pop()
    for i in range(length):
        ids[i] = load32(merges.byte_ids + 4 * np.int64(load8(text + i)))
        if i:
            value = merge_of(merges, ids[i - 1], ids[i])
            if value < NONE:
                heap.append(np.int64(value >> np.uint64(38)) << 38 | i - 1)
    heapq.heapify(heap)
    while len(heap):
        entry = heapq.heappop(heap)
        position = entry & 0x3FFFFFFFFF
        second = following[position]
        if dead[position] or second == length:
            continue
        value = merge_of(merges, ids[position], ids[second])
        if value >= NONE or np.int64(value >> np.uint64(38)) != entry >> 38:
            continue
        ids[position] = value >> np.uint64(6) & np.uint64(0xFFFFFFFF)
        dead[second] = True
        after, before = following[second], previous[position]
        following[position] = after
        if after < length:
            previous[after] = position
            value = merge_of(merges, ids[position], ids[after])
            if value < NONE:
                heapq.heappush(heap, np.int64(value >> np.uint64(38)) << 38 | position)
        if before >= 0:
            value = merge_of(merges, ids[before], ids[position])
            if value < NONE:
                heapq.heappush(heap, np.int64(value >> np.uint64(38)) << 38 | before)
    count = 0
    for i in range(length):
        if not dead[i]:
            store_id(merges, out, count, ids[i])
            count += 1
    return count
