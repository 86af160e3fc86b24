"""Count words in a hash table: open addressing, 32 bytes an entry, every word's bytes once in an arena.

    low, high   the word's key: 15 bytes of text and their number, or for longer words a hash and the length
    count
    where       the word's bytes, as an offset in the arena

A table that is full says how far it came, and the caller gives it more room and goes on from there.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.compiled.blocks import BATCH, BLOCK, word_ends
from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import PADDING, copy, load64, prefetch, same_bytes, store64
from stages.lm.bpe.compiled.special import SpecialTokens, next_special
from stages.lm.bpe.compiled.wordcache import KEY_BYTES, TASK
from stages.lm.bpe.documents import Documents

ENTRY = 32
LONG = np.uint64(0xFF << 56)
"""The number of bytes in the key of a long word, which no short word has."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(0xD6E8FEB86659FD93)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)

Array = npt.NDArray[Any]


class Table(NamedTuple):
    """Addresses of the entries, of which there are `mask + 1`, and of the arena."""

    entries: int
    mask: int
    arena: int


class Batch(NamedTuple):
    """Addresses of scratch memory for a batch of words: where they end, and their keys and places."""

    ends: int
    tasks: int


class WordTable:
    """The words met so far and how often each occurred. For one thread at a time."""

    def __init__(self, bits: int = 14) -> None:
        self.entries: Array = np.zeros((1 << bits, 4), np.uint64)
        self.arena: Array = np.zeros(1 << 18, np.uint8)
        # Taken entries, taken bytes of the arena; and of the text being counted the document and the position in it.
        self.state: Array = np.zeros(4, np.int64)
        self._text: Array = np.zeros(PADDING, np.uint8)
        self._ends: Array = np.zeros(BATCH + BLOCK, np.int64)
        self._tasks: Array = np.zeros(TASK * (BATCH + BLOCK), np.uint8)
        self._batch = Batch(self._ends.ctypes.data, self._tasks.ctypes.data)

    def __len__(self) -> int:
        return int(self.state[0])

    def add(self, documents: Documents, pattern: int, kinds: Array, special: SpecialTokens) -> None:
        """Count the words of documents, special tokens left out."""
        size = documents.size
        if len(self._text) < size + PADDING:
            self._text = np.zeros(size + PADDING, np.uint8)
        self._text[:size] = documents.data[documents.offsets[0] : documents.offsets[-1]]
        offsets = documents.offsets - documents.offsets[0]
        self.state[2:] = 0
        addresses = kinds.ctypes.data, special.tables, self._text.ctypes.data
        while not count_words(self.entries, self.arena, self.state, self._batch, pattern, *addresses, offsets):
            self._make_room()

    def add_table(self, other: "WordTable") -> None:
        """Add another table's counts."""
        _, offsets, lengths, counts = other.words()
        done = 0
        while done < len(counts):
            done = add_words(self.entries, self.arena, self.state, other.arena.ctypes.data, offsets, lengths, counts, done)
            if done < len(counts):
                self._make_room()

    def words(self) -> tuple[Array, Array, Array, Array]:
        """The arena, and of each word its offset there, its length, and its count."""
        taken = self.entries[self.entries[:, 2] > 0]
        short = taken[:, 1] < LONG
        lengths = np.where(short, taken[:, 1] >> np.uint64(56), taken[:, 1] & ~LONG).astype(np.int64)
        return self.arena, taken[:, 3].astype(np.int64), lengths, taken[:, 2].astype(np.int64)

    def _make_room(self) -> None:
        """Double what may be full: a batch may have as many new words as bytes."""
        entries, arena = self.entries, self.arena
        if 2 * (self.state[0] + BATCH + BLOCK) > len(entries):
            self.entries = np.zeros((2 * len(entries), 4), np.uint64)
            rehash(entries, self.entries)
        else:
            self.arena = np.zeros(2 * len(arena), np.uint8)
            self.arena[: len(arena)] = arena


@compiled
def count_words(entries, arena, state, batch, pattern, kinds, special, text, offsets):  # type: ignore[no-untyped-def]
    """Count words from where `state` stands; False when the table or the arena is full before the last document's end."""
    table = Table(entries.ctypes.data, len(entries) - 1, arena.ctypes.data)
    most, room = len(entries) // 2, len(arena) - PADDING
    number, filled = state[0], state[1]
    position = text + state[3]
    for document in range(state[2], len(offsets) - 1):
        position, end = max(position, text + offsets[document]), text + offsets[document + 1]
        while position < end:
            stop, length, _ = next_special(special, position, end)
            while position < stop:
                words = word_ends(pattern, position, stop, kinds, batch.ends)
                after = np.int64(load64(batch.ends + 8 * (words - 1)))
                if number + words > most or filled + after - position > room:
                    state[0], state[1], state[2], state[3] = number, filled, document, position - text
                    return False
                fetch(table, batch, position, words)
                number, filled = count_batch(table, batch, position, words, number, filled)
                position = after
            position = stop + length
    state[0], state[1] = number, filled
    return True


@compiled
def fetch(table, batch, position, words):  # type: ignore[no-untyped-def]
    """Note the keys and places of a batch of words, and have the places fetched."""
    task = batch.tasks
    for i in range(words):
        after = np.int64(load64(batch.ends + 8 * i))
        low, high = key_of(position, after - position)
        place = place_of(table, low, high)
        prefetch(place)
        store64(task, low)
        store64(task + 8, high)
        store64(task + 16, np.uint64(place))
        task += TASK
        position = after


@compiled
def count_batch(table, batch, position, words, number, filled):  # type: ignore[no-untyped-def]
    """Count a batch of words; returns how many entries of the table and bytes of the arena are taken now."""
    task = batch.tasks
    for i in range(words):
        after = np.int64(load64(batch.ends + 8 * i))
        low, high, place = load64(task), load64(task + 8), np.int64(load64(task + 16))
        if load64(place) == low and load64(place + 8) == high and high < LONG and load64(place + 16):
            store64(place + 16, load64(place + 16) + _ONE)
        elif add(table, place, low, high, position, after - position, _ONE, filled):
            number += 1
            filled += after - position
        task += TASK
        position = after
    return number, filled


@compiled
def add_words(entries, arena, state, text, offsets, lengths, counts, done):  # type: ignore[no-untyped-def]
    """Add words with their counts until all are done or the table is full; returns how many are done."""
    table = Table(entries.ctypes.data, len(entries) - 1, arena.ctypes.data)
    while done < len(counts):
        word, length = text + offsets[done], lengths[done]
        if state[0] >= len(entries) // 2 or state[1] + length > len(arena) - PADDING:
            break
        low, high = key_of(word, length)
        if add(table, place_of(table, low, high), low, high, word, length, np.uint64(counts[done]), state[1]):
            state[0] += 1
            state[1] += length
        done += 1
    return done


@compiled
def add(table, place, low, high, word, length, count, filled):  # type: ignore[no-untyped-def]
    """Add to the count of a word; True if it is new, and its bytes now lie in the arena at `filled`."""
    while load64(place + 16):
        same_key = load64(place) == low and load64(place + 8) == high
        if same_key and (high < LONG or same_bytes(table.arena + np.int64(load64(place + 24)), word, length)):
            store64(place + 16, load64(place + 16) + count)
            return False
        place += ENTRY
        if place > table.entries + ENTRY * table.mask:
            place = table.entries
    store64(place, low)
    store64(place + 8, high)
    store64(place + 16, count)
    store64(place + 24, np.uint64(filled))
    copy(word, table.arena + filled, length)
    return True


@compiled
def place_of(table, low, high):  # type: ignore[no-untyped-def]
    """The address at which the search for a key begins."""
    return table.entries + ENTRY * (np.int64((low ^ high * _FOLD) * _MIX >> np.uint64(20)) & table.mask)


@compiled
def key_of(word, length):  # type: ignore[no-untyped-def]
    """What a word is found by."""
    if length <= KEY_BYTES:
        return short_key(word, length)
    return hash_of(word, length), LONG | np.uint64(length)


@compiled
def short_key(word, length):  # type: ignore[no-untyped-def]
    """Up to 15 bytes and their number."""
    beyond = np.uint64(8 * max(length - 8, 0))
    low = load64(word) & _ALL >> np.uint64(64 - 8 * min(length, 8))
    high = load64(word + 8) & ((_ONE << beyond) - _ONE)
    return low, high | np.uint64(length) << np.uint64(56)


@compiled
def hash_of(word, length):  # type: ignore[no-untyped-def]
    """A hash of a word of at least 8 bytes."""
    value = np.uint64(length)
    for i in range(0, length - 7, 8):
        value = (value ^ load64(word + i)) * _MIX
        value ^= value >> np.uint64(29)
    return (value ^ load64(word + length - 8)) * _FOLD


@compiled
def rehash(entries, larger):  # type: ignore[no-untyped-def]
    """Move all entries to a larger table."""
    mask = len(larger) - 1
    for i in range(len(entries)):
        if entries[i, 2]:
            slot = np.int64((entries[i, 0] ^ entries[i, 1] * _FOLD) * _MIX >> np.uint64(20)) & mask
            while larger[slot, 2]:
                slot = (slot + 1) & mask
            larger[slot] = entries[i]
