"""Which pairs of symbols merge, and when: a perfect hash table (Belazzougui et al. 2009, "Hash, displace, and compress").

Merging a word asks as often for pairs that don't merge as for pairs that do, and a search through a table ends in a jump that
the processor foresaw wrongly. Here a pair has one place, where it is or is not: its bucket names a multiplier that leads to it,
chosen for each bucket, the fullest first, so that no two pairs meet. An entry is one number, `left << 42 | right << 21 | rank`.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import load16, load64

SYMBOL_BITS = 21
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
NO_RANK = np.uint64((1 << SYMBOL_BITS) - 1)
"""The rank of what does not merge; every symbol and rank is below. It is also the symbol before the first and behind the last."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)
_BITS = np.uint64(SYMBOL_BITS)

Array = npt.NDArray[Any]


class Pairs(NamedTuple):
    """Addresses of the entries and of the buckets' uint16 multipliers, with what leads to them."""

    entries: int
    shift: int
    multipliers: int
    mask: int


class PairTable:
    """The ranks of pairs; `tables` is valid as long as this object lives."""

    def __init__(self, left: Array, right: Array, ranks: Array) -> None:
        entries = (
            left.astype(np.uint64) << np.uint64(2 * SYMBOL_BITS) | right.astype(np.uint64) << _BITS | ranks.astype(np.uint64)
        )
        bits = max(4, (len(entries) * 5 // 4).bit_length())
        while True:
            self._entries = np.full(1 << bits, EMPTY, np.uint64)
            self._multipliers = np.zeros(1 << (bits - 2), np.uint16)
            if place(entries, self._entries, self._multipliers, 64 - bits):
                break
            bits += 1
        self.tables = Pairs(self._entries.ctypes.data, 64 - bits, self._multipliers.ctypes.data, len(self._multipliers) - 1)


@compiled
def rank_of(pairs, left, right):  # type: ignore[no-untyped-def]
    """The rank of a pair of symbols, NO_RANK if it does not merge."""
    key = left << _BITS | right
    hashed = hash_of(key)
    multiplier = load16(pairs.multipliers + 2 * (np.int64(hashed) & pairs.mask))
    entry = load64(pairs.entries + 8 * np.int64(hashed * (multiplier + multiplier + _ONE) >> np.uint64(pairs.shift)))
    return entry & NO_RANK if entry >> _BITS == key else NO_RANK


@compiled
def hash_of(key):  # type: ignore[no-untyped-def]
    hashed = key * _MIX
    return hashed ^ hashed >> np.uint64(29)


@compiled
def place(new, entries, multipliers, shift):  # type: ignore[no-untyped-def]
    """Put the new entries into the empty table; False where a bucket finds no multiplier."""
    hashes = np.empty(len(new), np.uint64)
    buckets = np.empty(len(new), np.int64)
    for i in range(len(new)):
        hashes[i] = hash_of(new[i] >> _BITS)
        buckets[i] = np.int64(hashes[i]) & (len(multipliers) - 1)
    order = np.argsort(buckets)
    begins = np.searchsorted(buckets[order], np.arange(len(multipliers) + 1))
    for bucket in np.argsort(begins[:-1] - begins[1:]):
        members = order[begins[bucket] : begins[bucket + 1]]
        multiplier = 0
        while len(members) and not place_bucket(new, hashes, members, entries, np.uint64(2 * multiplier + 1), np.uint64(shift)):
            multiplier += 1
            if multiplier == 1 << 16:
                return False
        multipliers[bucket] = multiplier
    return True


@compiled
def place_bucket(new, hashes, members, entries, multiplier, shift):  # type: ignore[no-untyped-def]
    """Put some entries where this multiplier leads, if all these places are free."""
    for done in range(len(members)):
        slot = hashes[members[done]] * multiplier >> shift
        if entries[slot] != EMPTY:
            for member in members[:done]:
                entries[hashes[member] * multiplier >> shift] = EMPTY
            return False
        entries[slot] = new[members[done]]
    return True
