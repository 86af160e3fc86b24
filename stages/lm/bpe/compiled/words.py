"""The named pre-tokenization patterns as state machines over UTF-8: where does the word that begins here end?

Each follows the alternatives of its pattern in `pretokenization.PATTERNS` in their order. Addresses are those of the text;
`table` is that of `characters.kinds()`.
"""

import numpy as np

from stages.lm.bpe.compiled.characters import LETTER, LOWER, NUMBER, OTHER, SPACE, UPPER, kind_at
from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import load8, load64, trailing_zeros

GPT2, CL100K, O200K = 0, 1, 2
NAMES = {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K}

_EACH = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_CASE = np.uint64(0x2020202020202020)
_BELOW_A = np.uint64(0x80 - ord("a"))
_ABOVE_Z = np.uint64(0x80 - ord("z") - 1)


@compiled
def word_end(pattern, position, end, table):  # type: ignore[no-untyped-def]
    """The end of the word that begins at `position`, for one of the named patterns."""
    if pattern != O200K:
        stop = plain_word(position, end)
        if stop:
            return stop
    return any_word(pattern, position, end, table)


@compiled
def any_word(pattern, position, end, table):  # type: ignore[no-untyped-def]
    if pattern == GPT2:
        return gpt2_word(position, end, table)
    if pattern == CL100K:
        return cl100k_word(position, end, table)
    return o200k_word(position, end, table)


@compiled
def gpt2_word(position, end, table):  # type: ignore[no-untyped-def]
    first = load8(position)
    start = position
    if first == ord("'"):
        length = contraction(position, end, False)
        if length:
            return position + length
    elif first == ord(" ") and position + 1 < end:
        start = position + 1
    kind, length = kind_at(start, end, table)
    if kind & LETTER:
        return letters(start + length, end, table)
    if kind & SPACE:
        return spaces(position, end, table)
    return run(start + length, end, table, kind & (NUMBER | OTHER))


@compiled
def cl100k_word(position, end, table):  # type: ignore[no-untyped-def]
    first = load8(position)
    if first == ord("'"):
        length = contraction(position, end, True)
        if length:
            return position + length
    kind, length = kind_at(position, end, table)
    if kind & LETTER:
        return letters(position + length, end, table)
    if kind & NUMBER:
        return digits(position, end, table)
    after = position + length
    next_kind, next_length = kind_at(after, end, table) if after < end else (0, 0)
    if next_kind & LETTER and first != ord("\r") and first != ord("\n"):
        return letters(after + next_length, end, table)
    if kind & OTHER or (first == ord(" ") and next_kind & OTHER):
        return newlines(run(after, end, table, OTHER), end, False)
    stop = run(position, end, table, SPACE)
    return stop if stop == end else spaces_to_newline(position, stop, end, table)


@compiled
def o200k_word(position, end, table):  # type: ignore[no-untyped-def]
    first = load8(position)
    kind, length = kind_at(position, end, table)
    after = position + length
    bare = kind & (LETTER | NUMBER) or first == ord("\r") or first == ord("\n") or after == end
    stop = cased_word(position if bare else after, position, end, table)
    if stop > position:
        return stop + contraction(stop, end, True)
    if kind & NUMBER:
        return digits(position, end, table)
    next_kind, _ = kind_at(after, end, table) if after < end else (0, 0)
    if kind & OTHER or (first == ord(" ") and next_kind & OTHER):
        return newlines(run(after, end, table, OTHER), end, True)
    return spaces_to_newline(position, run(position, end, table, SPACE), end, table)


@compiled
def cased_word(start, position, end, table):  # type: ignore[no-untyped-def]
    """The end of o200k's first or second alternative, `position` where neither matches.

    `start` lies behind the sign that may stand before a word. Where nothing matches behind it, it may be part of the word
    itself (a combining mark), and each alternative tries that before the next one gets its turn.
    """
    stop = lower_word(start, end, table)
    if stop > start:
        return stop
    stop = lower_word(position, end, table)
    if stop > position:
        return stop
    stop = run(start, end, table, UPPER)
    return stop if stop > start else run(position, end, table, UPPER)


@compiled
def lower_word(start, end, table):  # type: ignore[no-untyped-def]
    """The end of UPPER* LOWER+, both greedy; `start` where it does not match.

    The two overlap in marks and letters without case. Where no LOWER follows all of UPPER*, it gives back from there to its
    last character that is LOWER too, which then ends the word.
    """
    position, last_lower = start, start
    while position < end:
        kind, length = kind_at(position, end, table)
        if not kind & UPPER:
            break
        position += length
        if kind & LOWER:
            last_lower = position
    stop = run(position, end, table, LOWER)
    return stop if stop > position else last_lower


@compiled
def plain_word(position, end):  # type: ignore[no-untyped-def]
    """The end of a word as most are: maybe a space, then 1 to 7 ASCII letters, then another ASCII character; else 0.

    Computed without branches but the last one, which is nearly always foreseen.
    """
    start = position + np.int64(load8(position) == ord(" "))
    stops = not_ascii_letters(load64(start))
    stop = start + (trailing_zeros(stops) >> 3)
    is_plain = (stops != 0) & (stop > start) & (stop < end) & (load8(stop) < 0x80)
    return stop if is_plain else 0


@compiled
def letters(position, end, table):  # type: ignore[no-untyped-def]
    """The end of the letters from here on: eight at a time while they are ASCII."""
    while position < end:
        stops = not_ascii_letters(load64(position))
        if not stops:
            position += 8
            continue
        position += trailing_zeros(stops) >> 3
        if position >= end or load8(position) < 0x80:
            break
        kind, length = kind_at(position, end, table)
        if not kind & LETTER:
            break
        position += length
    return min(position, end)


@compiled
def not_ascii_letters(eight):  # type: ignore[no-untyped-def]
    """The high bit of every byte that is no ASCII letter. With its high bit off, adding to a byte never carries to the next."""
    folded = (eight & ~_HIGH) | _CASE
    letter = (folded + _BELOW_A * _EACH) & ~(folded + _ABOVE_Z * _EACH) & ~eight
    return ~letter & _HIGH


@compiled
def run(position, end, table, wanted):  # type: ignore[no-untyped-def]
    """The end of the characters of the kinds `wanted` from here on."""
    while position < end:
        kind, length = kind_at(position, end, table)
        if not kind & wanted:
            break
        position += length
    return position


@compiled
def digits(position, end, table):  # type: ignore[no-untyped-def]
    r"""`\p{N}{1,3}`"""
    for _ in range(3):
        if position == end:
            break
        kind, length = kind_at(position, end, table)
        if not kind & NUMBER:
            break
        position += length
    return position


@compiled
def newlines(position, end, slashes):  # type: ignore[no-untyped-def]
    r"""`[\r\n]*`, with slashes `[\r\n/]*`"""
    while position < end:
        byte = load8(position)
        if byte != ord("\r") and byte != ord("\n") and not (slashes and byte == ord("/")):
            break
        position += 1
    return position


@compiled
def spaces(position, end, table):  # type: ignore[no-untyped-def]
    r"""`\s+(?!\S)|\s+`: white space, but for its last character where a word follows and it is not the only one."""
    begin = last = position
    while position < end:
        kind, length = kind_at(position, end, table)
        if not kind & SPACE:
            break
        last = position
        position += length
    return position if position == end or last == begin else last


@compiled
def spaces_to_newline(position, stop, end, table):  # type: ignore[no-untyped-def]
    r"""`\s*[\r\n]+|\s+(?!\S)|\s+` where `\s+` ends at `stop`."""
    for last in range(stop - 1, position - 1, -1):
        byte = load8(last)
        if byte == ord("\r") or byte == ord("\n"):
            return last + 1
    return spaces(position, end, table)


@compiled
def contraction(position, end, any_case):  # type: ignore[no-untyped-def]
    """The length of 's 't 'm 'd 're 've 'll at an address, 0 if there is none; with `any_case` `(?i:...)`, where ſ is an s."""
    left = end - position
    if left < 2 or load8(position) != ord("'"):
        return 0
    fold = np.uint64(0x20) if any_case else np.uint64(0)
    first = load8(position + 1) | fold
    if first == ord("s") or first == ord("t") or first == ord("m") or first == ord("d"):
        return 2
    if left < 3:
        return 0
    second = load8(position + 2) | fold
    if second == ord("e") and (first == ord("r") or first == ord("v")):
        return 3
    if second == ord("l") and first == ord("l"):
        return 3
    if any_case and load8(position + 1) == 0xC5 and load8(position + 2) == 0xBF:
        return 3
    return 0
