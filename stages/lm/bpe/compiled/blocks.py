"""GPT-2's pattern on 64 bytes at a time: every set of bytes is a number of 64 bits, a bit for each of them.

Where words begin depends only on the kinds of neighbouring characters, so that shifts and logic find all beginnings at once:

    a letter, a digit or a sign begins a word   unless the character before is of its kind, or a blank (` ?\\p{L}+` and so on)
    white space begins a word                   unless white space stands on both sides (`\\s+(?!\\S)` leaves the last one over)
    contractions                                are mended afterwards: 's ends the word before, and itself ends one

All bytes of a character are of its kind. The few characters beyond ASCII are looked up one by one.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from stages.lm.bpe.compiled.characters import LETTER, NUMBER, SPACE, code_point, kind_at
from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import store64, trailing_zeros
from stages.lm.bpe.compiled.words import GPT2, contraction, word_end

BLOCK = 64
BATCH = 2048

_ONE, _ALL = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
_TOP = np.uint64(63)


@intrinsic  # type: ignore[untyped-decorator]
def bytes_in(_typing: Any, _address: Any, _fold: Any, _first: Any, _number: Any) -> Any:
    """Of the 64 bytes at an address, those in first, ..., first + number - 1, once the bits `fold` are set in them."""
    vector = ir.VectorType(ir.IntType(8), BLOCK)

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def everywhere(value: Any) -> Any:
            byte = builder.trunc(value, ir.IntType(8))
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), byte, ir.Constant(ir.IntType(32), 0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

        address, fold, first, number = arguments
        text = builder.load(builder.inttoptr(address, vector.as_pointer()), align=1)
        distance = builder.sub(builder.or_(text, everywhere(fold)), everywhere(first))
        found = builder.icmp_unsigned("<", distance, everywhere(number))
        return builder.bitcast(found, ir.IntType(64))

    return types.uint64(types.int64, types.int64, types.int64, types.int64), emit


@compiled
def word_ends(pattern, position, end, table, found):  # type: ignore[no-untyped-def]
    """Write where the next words end, one at least and those of BATCH bytes at most, to `found`; returns their number."""
    stop = min(position + BATCH, end)
    number = gpt2_beginnings(position, end, stop, table, found) if pattern == GPT2 else 0
    if number:
        return number
    while position < stop:
        position = word_end(pattern, position, end, table)
        store64(found + 8 * number, np.uint64(position))
        number += 1
    return number


@compiled
def gpt2_beginnings(start, end, stop, table, found):  # type: ignore[no-untyped-def]
    """Write where words begin behind `start`, itself the beginning of one, to the addresses at `found`; returns their number.

    Looks at the blocks that begin before `stop`. If they reach as far as `end`, that is written as the last beginning.
    """
    letter = number = other = space = blank = add_next = drop_next = np.uint64(0)
    count = 0
    for base in range(start, min(stop, end), BLOCK):
        # The last byte of the block before, as bit 0.
        letter_0, number_0, other_0 = letter >> _TOP, number >> _TOP, other >> _TOP
        space_0, blank_0 = space >> _TOP, blank >> _TOP
        inside = _ALL >> np.uint64(max(BLOCK - (end - base), 0))
        letter, number = bytes_in(base, 0x20, ord("a"), 26) & inside, bytes_in(base, 0, ord("0"), 10) & inside
        high, blank = bytes_in(base, 0, 0x80, 0x80) & inside, bytes_in(base, 0, ord(" "), 1)
        # What lies behind the end counts as white space: there, too, the last white space is left over to nobody.
        narrow = bytes_in(base, 0, ord("\t"), 5) | blank | ~inside
        space, wide_left_over = narrow, np.uint64(0)
        if high:
            wide_letter, wide_number, wide_space, wide_left_over = wide_kinds(base, start, end, high, table)
            letter, number, space = letter | wide_letter, number | wide_number, space | wide_space
        other = ~(letter | number | space)
        same = letter & (letter << _ONE | letter_0) | number & (number << _ONE | number_0) | other & (other << _ONE | other_0)
        left_over = narrow & ~(space >> _ONE | np.uint64(space_at(base + BLOCK, end, table)) << _TOP) | wide_left_over
        begins = ~space & ~same & ~(blank << _ONE | blank_0) | space & ~(space << _ONE | space_0) | left_over
        add, drop = add_next, drop_next
        add_next = drop_next = np.uint64(0)
        marks = begins & inside & bytes_in(base, 0, ord("'"), 1)
        if marks:
            more, less, add_next, drop_next = contractions(base, end, marks)
            add, drop = add | more, drop | less
        begins = (begins & ~drop | add) & inside
        if base == start:
            begins &= ~_ONE
        while begins:
            store64(found + 8 * count, np.uint64(base + trailing_zeros(begins)))
            begins &= begins - _ONE
            count += 1
    if end - start <= (min(stop, end) - start + BLOCK - 1) // BLOCK * BLOCK:
        store64(found + 8 * count, np.uint64(end))
        count += 1
    return count


@compiled
def space_at(position, end, table):  # type: ignore[no-untyped-def]
    """Whether white space stands at an address, or nothing any more."""
    return position >= end or kind_at(position, end, table)[0] == SPACE


@compiled
def wide_kinds(base, start, end, high, table):  # type: ignore[no-untyped-def]
    """The letters, digits and white space among the bytes `high` of characters beyond ASCII, and of the white space that is left
    over to the next word (what is no white space follows it) the first bytes."""
    letter = number = space = left_over = np.uint64(0)
    position = base + trailing_zeros(high)
    if high & _ONE:
        for lead in range(max(start, base - 3), base):
            if lead + code_point(lead, end)[1] > base:
                position = lead
    while high:
        kind, length = kind_at(position, end, table)
        begin, after = position - base, position + length - base
        bits = _ALL << np.uint64(max(begin, 0))
        if after < BLOCK:
            bits &= ~(_ALL << np.uint64(after))
        if kind & LETTER:
            letter |= bits
        elif kind & NUMBER:
            number |= bits
        elif kind & SPACE:
            space |= bits
            if begin >= 0 and not space_at(base + after, end, table):
                left_over |= _ONE << np.uint64(begin)
        high &= ~bits
        position = base + trailing_zeros(high)
    return letter, number, space, left_over


@compiled
def contractions(base, end, marks):  # type: ignore[no-untyped-def]
    """What contractions at the apostrophes `marks`, which begin words, change: where words begin too, and where not, in this
    block and in the next."""
    add = drop = add_next = drop_next = np.uint64(0)
    while marks:
        mark = trailing_zeros(marks)
        length = contraction(base + mark, end, False)
        if length:
            drop |= _ONE << np.uint64(mark) << _ONE
            drop_next |= np.uint64(mark + 1 == BLOCK)
            if mark + length < BLOCK:
                add |= _ONE << np.uint64(mark + length)
            else:
                add_next |= _ONE << np.uint64(mark + length - BLOCK)
        marks &= marks - _ONE
    return add, drop, add_next, drop_next
