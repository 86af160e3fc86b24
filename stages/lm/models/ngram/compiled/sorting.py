"""Sort the positions of a stream by the tokens that begin there: least significant digit first, stable, so without comparisons.

A position becomes a record of 64-bit words: its next tokens, as many in a word as fit, the first ones highest, and last where it
is and how many tokens they are (to the end of the document, at most `order`). A token t is written as t + 1, for 0 stands for the
end; so shorter sequences come before those that go on.
"""

import numpy as np

from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import leading_zeros

DIGIT = 11
"""Bits that one pass sorts by: the ends of 2,048 runs stay in the processor's cache."""
LENGTH = 32
"""The last word holds the position in its lower and the length from this bit on."""


@compiled
def sorted_records(stream, begin, end, span, size, order, bits):  # type: ignore[no-untyped-def]
    """The sorted records of the `size` positions with begin <= pair < end, (size, words + 1); see `collect`."""
    fits = 64 // bits
    words = (order + fits - 1) // fits
    records, other = np.empty((size, words + 1), np.uint64), np.empty((size, words + 1), np.uint64)
    collect(stream, begin, end, span, order, bits, records)
    for word in range(words - 1, -1, -1):
        used = fits if word < words - 1 else order - fits * (words - 1)
        for shift in range(bits * (fits - used), bits * fits, DIGIT):
            if distribute(records, other, word, shift):
                records, other = other, records
    return records


@compiled
def collect(stream, begin, end, span, order, bits, records):  # type: ignore[no-untyped-def]
    """Fill the records in the order of the stream, whose first token is the boundary.

    The pair of a position is span t + u + 1, where u is the token after its own token t (span t at the end of the stream).
    """
    boundary, fits, last = stream[0], 64 // bits, records.shape[1] - 1
    row = 0
    for position in range(len(stream)):
        pair = span * np.int64(stream[position])
        if position + 1 < len(stream):
            pair += np.int64(stream[position + 1]) + 1
        if not begin <= pair < end:
            continue
        word, packed, room, length = 0, np.uint64(0), fits, 0
        for i in range(position, min(position + order, len(stream))):
            token = stream[i]
            packed = packed << np.uint64(bits) | np.uint64(token + 1)
            length += 1
            room -= 1
            if room == 0:
                records[row, word] = packed
                word, packed, room = word + 1, np.uint64(0), fits
            if token == boundary and i > position:
                break
        while word < last:
            records[row, word] = packed << np.uint64(bits * room) if room < fits else np.uint64(0)
            word, packed, room = word + 1, np.uint64(0), fits
        records[row, last] = np.uint64(position) | np.uint64(length) << np.uint64(LENGTH)
        row += 1


@compiled
def distribute(records, other, word, shift):  # type: ignore[no-untyped-def]
    """Copy the records to `other`, sorted by one digit; False, and nothing done, if it is the same in all."""
    mask, by = np.uint64((1 << DIGIT) - 1), np.uint64(shift)
    size, columns = records.shape
    ends = np.zeros((1 << DIGIT) + 1, np.int64)
    for row in range(size):
        ends[1 + np.int64(records[row, word] >> by & mask)] += 1
    if size == 0 or ends.max() == size:
        return False
    for i in range(1 << DIGIT):
        ends[i + 1] += ends[i]
    if columns == 2:
        for row in range(size):
            digit = np.int64(records[row, word] >> by & mask)
            to = ends[digit]
            ends[digit] = to + 1
            other[to, 0], other[to, 1] = records[row, 0], records[row, 1]
    else:
        for row in range(size):
            digit = np.int64(records[row, word] >> by & mask)
            to = ends[digit]
            ends[digit] = to + 1
            for column in range(columns):
                other[to, column] = records[row, column]
    return True


@compiled
def describe(records, goes_on, order, bits, positions, lengths, shared):  # type: ignore[no-untyped-def]
    """Of sorted records the positions, the lengths, and how many tokens each shares with the one before it.

    `goes_on` says how many the first one shares with the block before.
    Returns how many different n-grams of each length they begin with, (order + 1).
    """
    size, last = records.shape[0], records.shape[1] - 1
    fits = 64 // bits
    made = np.zeros(order + 1, np.int64)
    for row in range(size):
        where = records[row, last]
        length = np.int64(where >> np.uint64(LENGTH))
        same = np.int64(goes_on)
        if row > 0:
            same = length
            for word in range(last):
                differ = records[row, word] ^ records[row - 1, word]
                if differ:
                    same = min(length, word * fits + (leading_zeros(differ) - 64 + bits * fits) // bits)
                    break
        positions[row], lengths[row], shared[row] = where & np.uint64(0xFFFFFFFF), length, same
        for n in range(same + 1, length + 1):
            made[n] += 1
    return made
