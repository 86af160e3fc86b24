"""Words met before and their ids, for one thread.

A word of up to 15 bytes is a key of 16: its bytes and, last, their number. Its hash names a line of 64 bytes, as the processor
fetches them, with two slots; each has a key, ids and their number, 7 ids of 2 bytes or 3 of 4. What is new takes the first slot
of its line, and what was there moves to the second.

Longer words, and those of more ids, have larger slots in a side table. A short word there leaves a key in its line that no text
matches, so that other words need not be looked for in the side table.
"""

import mmap
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.compiled.blocks import BATCH, BLOCK
from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import copy, load8, load64, same_bytes, store64
from stages.lm.bpe.compiled.merging import SCRATCH, merge_word

KEY_BYTES = 15
LINE, LINE_BITS = 64, 18
"""A thread remembers up to 2^19 words, in 16 MB,"""
SIDE, SIDE_BITS = 128, 15
"""and up to 2^15 long ones, in 4 MB."""
SIDE_TEXT, SIDE_IDS = 8, 56
"""Where the text and the ids lie in a slot of the side table, behind the length and the number of ids (4 bytes each)."""
TASK = 24
"""Bytes of a word that is being looked up: its key and the address of its line."""

_ASIDE = np.uint64(0x80 << 56)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(0xD6E8FEB86659FD93)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_LINE_SHIFT, _SIDE_SHIFT = np.uint64(64 - LINE_BITS), np.uint64(64 - SIDE_BITS)


class Cache(NamedTuple):
    """Addresses of a thread's memory: lines, side table, masks that cut a key to the word's length, and scratch memory for
    merging, for where the words of a batch end, and for their keys and lines."""

    lines: int
    side: int
    masks: int
    scratch: int
    ends: int
    tasks: int


def new_cache() -> tuple[Cache, list[npt.NDArray[Any]]]:
    """An empty cache, and the arrays that must live as long as it is used."""
    masks = np.array([((1 << 8 * length) - 1 >> 64 * half) & (1 << 64) - 1 for length in range(16) for half in (0, 1)], np.uint64)
    words = BATCH + BLOCK
    sizes = (LINE << LINE_BITS, SIDE << SIDE_BITS, SCRATCH, 8 * words, TASK * words)
    lines, side, scratch, ends, tasks = arrays = [pages(size) for size in sizes]
    cache = Cache(*(array.ctypes.data for array in (lines, side, masks, scratch, ends, tasks)))
    return cache, [masks, *arrays]


def pages(size: int) -> npt.NDArray[np.uint8]:
    """Bytes of zero that go back to the system with the array, which the C library may keep for later; in large pages if it has
    them, for look-ups fall anywhere."""
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    memory = mmap.mmap(-1, size, **private)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


@compiled
def key_of(cache, word, length):  # type: ignore[no-untyped-def]
    """A short word's bytes and their number; of a long word something that is in no line."""
    masks = cache.masks + 16 * (length & 15)
    number = np.uint64(min(length, KEY_BYTES + 1)) << np.uint64(56)
    return load64(word) & load64(masks), load64(word + 8) & load64(masks + 8) | number


@compiled
def line_of(cache, low, high):  # type: ignore[no-untyped-def]
    """The line in which a key would be."""
    return cache.lines + LINE * np.int64((low ^ high * _FOLD) * _MIX >> _LINE_SHIFT)


@compiled
def find(line, low, high):  # type: ignore[no-untyped-def]
    """The slot of a key in a line, 0 where it is not there. No branch: which of the two it is cannot be foreseen."""
    first = (load64(line) ^ low) | (load64(line + 8) ^ high)
    second = (load64(line + 32) ^ low) | (load64(line + 40) ^ high)
    slot = line + 32 * np.int64(first != 0)
    return slot if (first == 0) | (second == 0) else 0


@compiled
def enter(line, low, high, first_ids, last_ids):  # type: ignore[no-untyped-def]
    """Put a key and its ids into the first slot of a line; what was there moves to the second."""
    copy(line, line + 32, 32)
    store64(line, low)
    store64(line + 8, high)
    store64(line + 16, first_ids)
    store64(line + 24, last_ids)


@compiled
def rare_word(merges, cache, word, length, out):  # type: ignore[no-untyped-def]
    """Write the ids of a word that is in no line; returns their number."""
    if length <= KEY_BYTES:
        return new_word(merges, cache, word, length, out)
    if length > SIDE_IDS - SIDE_TEXT:
        return parts(merges, cache, word, length, out)
    low, high = load64(word) ^ load64(word + 8) * _FOLD, load64(word + length - 8) ^ np.uint64(length)
    slot = side_slot(cache, low, high)
    count = from_side(merges, slot, word, length, out)
    if not count:
        count = parts(merges, cache, word, length, out)
        to_side(merges, slot, word, length, out, count)
    return count


@compiled
def new_word(merges, cache, word, length, out):  # type: ignore[no-untyped-def]
    """The same for a short word. It enters a line, or if its ids do not fit the side table."""
    low, high = key_of(cache, word, length)
    line = line_of(cache, low, high)
    slot = side_slot(cache, low, high)
    aside = find(line, low, high | _ASIDE) != 0
    if aside:
        count = from_side(merges, slot, word, length, out)
        if count:
            return count
    count = merge_word(merges, word, length, out, cache.scratch)
    if (count + 1) * merges.id_bytes <= 16:
        last = np.uint64(64 - 8 * merges.id_bytes)
        enter(
            line,
            low,
            high,
            load64(out),
            load64(out + 8) << (np.uint64(64) - last) >> (np.uint64(64) - last) | np.uint64(count) << last,
        )
    else:
        to_side(merges, slot, word, length, out, count)
        if not aside:
            enter(line, low, high | _ASIDE, np.uint64(0), np.uint64(0))
    return count


@compiled
def parts(merges, cache, word, length, out):  # type: ignore[no-untyped-def]
    """The same for a long word, cut where no merge joins two bytes: what stands on both sides is encoded for itself."""
    end, total = word + length, 0
    while word < end:
        after = word + 1
        while after < end and load8(merges.joins + np.int64(load8(after - 1) << np.uint64(8) | load8(after))):
            after += 1
        total += part(merges, cache, word, after - word, out + total * merges.id_bytes)
        word = after
    return total


@compiled
def part(merges, cache, word, length, out):  # type: ignore[no-untyped-def]
    """The same for a part of a long word."""
    if length > KEY_BYTES:
        return merge_word(merges, word, length, out, cache.scratch)
    low, high = key_of(cache, word, length)
    slot = find(line_of(cache, low, high), low, high)
    if not slot:
        return new_word(merges, cache, word, length, out)
    copy(slot + 16, out, 16)
    return np.int64(load64(slot + 24) >> np.uint64(64 - 8 * merges.id_bytes))


@compiled
def side_slot(cache, low, high):  # type: ignore[no-untyped-def]
    """The slot of the side table in which a word with these bytes would be."""
    return cache.side + SIDE * np.int64((low ^ high * _FOLD) * _MIX >> _SIDE_SHIFT)


@compiled
def from_side(merges, slot, word, length, out):  # type: ignore[no-untyped-def]
    """Write the ids of a word, if that is what a slot of the side table holds; returns their number, else 0."""
    head = load64(slot)
    if np.int64(head & _LOW_HALF) != length or not same_bytes(word, slot + SIDE_TEXT, length):
        return 0
    count = np.int64(head >> np.uint64(32))
    copy(slot + SIDE_IDS, out, count * merges.id_bytes)
    return count


@compiled
def to_side(merges, slot, word, length, ids, count):  # type: ignore[no-untyped-def]
    """Put a word into a slot of the side table, if its ids fit."""
    if count * merges.id_bytes <= SIDE - SIDE_IDS:
        store64(slot, np.uint64(length) | np.uint64(count) << np.uint64(32))
        copy(word, slot + SIDE_TEXT, length)
        copy(ids, slot + SIDE_IDS, count * merges.id_bytes)
