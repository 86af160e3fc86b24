"""Encode documents: words from a cache, new words merged, special tokens found first.

A word of up to 15 bytes is a key of 16: its bytes and, last, their number. Its hash names a line of 64 bytes with two slots, each
of a key, ids and their number. A slot holds up to 7 ids of 2 bytes or 3 of 4. There are two tables of lines: a small one, which
stays in the processor's second-level cache, in front of a large one. What is new takes the first slot of its line, and what was
there moves to the second.

Words of 16 to 64 bytes (mostly rows of spaces and signs) have larger slots in a table of their own; longer words, and those of
more ids, are merged each time.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from stages.lm.bpe.compiled.memory import load64, store64
from stages.lm.bpe.compiled.merging import SHORT, merge_word, store_id
from stages.lm.bpe.compiled.special import next_special, same_bytes
from stages.lm.bpe.compiled.words import word_end

KEY_BYTES = 15
LINE = 64
LONG_SLOT, LONG_IDS = 256, 80
"""Bytes of a slot for a long word, and where its ids begin: length, number of ids, then SHORT bytes of text before them."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(0xD6E8FEB86659FD93)
_ONE = np.uint64(1)


class Cache(NamedTuple):
    """Addresses of one thread's memory: lines of short words, slots of long words, scratch for merging, masks of keys."""

    front: int
    front_shift: int
    lines: int
    shift: int
    long: int
    long_shift: int
    scratch: int
    masks: int


@njit(nogil=True, cache=True)
def encode_documents(pattern, kinds, merges, special, cache, text, offsets, out, counts, end_id):  # type: ignore[no-untyped-def]
    """Write the ids of documents to `out`, each with `end_id` behind it if that is not negative.

    Document i is `text + offsets[i]` to `text + offsets[i + 1]`; counts[i] becomes the number of its ids. Returns the number of
    all ids. `out` needs room for an id a byte, one a document, and a slot.
    """
    begin = out
    for i in range(len(counts)):
        first = out
        position, end = text + offsets[i], text + offsets[i + 1]
        while position < end:
            stop, length, token = next_special(special, position, end)
            out = encode_text(pattern, kinds, merges, cache, position, stop, out)
            if length:
                store_id(merges, out, 0, np.uint64(token))
                out += merges.id_bytes
            position = stop + length
        if end_id >= 0:
            store_id(merges, out, 0, np.uint64(end_id))
            out += merges.id_bytes
        counts[i] = (out - first) // merges.id_bytes
    return (out - begin) // merges.id_bytes


@njit(nogil=True, cache=True)
def encode_text(pattern, kinds, merges, cache, position, end, out):  # type: ignore[no-untyped-def]
    """Write the ids of a text without special tokens to `out`; returns the address behind them."""
    count_shift = np.uint64(48 if merges.id_bytes == 2 else 32)
    while position < end:
        stop = word_end(pattern, position, end, kinds)
        length = stop - position
        if length > KEY_BYTES:
            out += long_word(merges, cache, position, length, out) * merges.id_bytes
            position = stop
            continue
        low = load64(position) & load64(cache.masks + 16 * length)
        high = load64(position + 8) & load64(cache.masks + 16 * length + 8) | np.uint64(length) << np.uint64(56)
        mixed = (low ^ high * _FOLD) * _MIX
        slot = find(cache.front + LINE * np.int64(mixed >> np.uint64(cache.front_shift)), low, high)
        if slot:
            last = load64(slot + 24)
            store64(out, load64(slot + 16))
            store64(out + 8, last)
            out += np.int64(last >> count_shift) * merges.id_bytes
        else:
            out += rare_word(merges, cache, position, length, out, low, high, mixed) * merges.id_bytes
        position = stop
    return out


@njit(nogil=True, cache=True)
def find(line, low, high):  # type: ignore[no-untyped-def]
    """The slot of a key in a line, 0 where it is not there. No branch: which of the two it is cannot be foreseen."""
    first = (load64(line) ^ low) | (load64(line + 8) ^ high)
    second = (load64(line + 32) ^ low) | (load64(line + 40) ^ high)
    slot = line + 32 * np.int64(first != 0)
    return slot if (first == 0) | (second == 0) else 0


@njit(nogil=True, cache=True)
def rare_word(merges, cache, text, length, out, low, high, mixed):  # type: ignore[no-untyped-def]
    """Write the ids of a word that is not in front; returns their number. It moves to the front."""
    count_shift = np.uint64(48 if merges.id_bytes == 2 else 32)
    front = cache.front + LINE * np.int64(mixed >> np.uint64(cache.front_shift))
    line = cache.lines + LINE * np.int64(mixed >> np.uint64(cache.shift))
    slot = find(line, low, high)
    if not slot:
        count = merge_word(merges, text, length, out, cache.scratch)
        if count * merges.id_bytes > 16 - merges.id_bytes:
            return count
        copy(line, line + 32, 32)
        store64(line, low)
        store64(line + 8, high)
        store64(line + 16, load64(out))
        store64(line + 24, load64(out + 8) & ((_ONE << count_shift) - _ONE) | np.uint64(count) << count_shift)
        slot = line
    copy(front, front + 32, 32)
    copy(slot, front, 32)
    copy(slot + 16, out, 16)
    return np.int64(load64(slot + 24) >> count_shift)


@njit(nogil=True, cache=True)
def long_word(merges, cache, text, length, out):  # type: ignore[no-untyped-def]
    """Write the ids of a word of more than 15 bytes; returns their number."""
    if length > SHORT:
        return merge_word(merges, text, length, out, cache.scratch)
    key = load64(text) ^ (load64(text + length - 8) ^ load64(text + 8) * _FOLD) * _FOLD ^ np.uint64(length)
    slot = cache.long + LONG_SLOT * np.int64(key * _MIX >> np.uint64(cache.long_shift))
    if np.int64(load64(slot)) == length and same_bytes(text, slot + 16, length):
        count = np.int64(load64(slot + 8))
        copy(slot + LONG_IDS, out, count * merges.id_bytes)
        return count
    count = merge_word(merges, text, length, out, cache.scratch)
    if count * merges.id_bytes <= LONG_SLOT - LONG_IDS:
        store64(slot, np.uint64(length))
        store64(slot + 8, np.uint64(count))
        copy(text, slot + 16, length)
        copy(out, slot + LONG_IDS, count * merges.id_bytes)
    return count


@njit(nogil=True, cache=True)
def copy(source, target, length):  # type: ignore[no-untyped-def]
    """Copy `length` bytes, rounded up to whole machine words."""
    for i in range(0, length, 8):
        store64(target + i, load64(source + i))
