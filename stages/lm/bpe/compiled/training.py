"""Learn merges from counted words: the algorithm of `bpe.training` on flat arrays.

Every byte of every distinct word is a node of 16 bytes, so that what a merge touches around a position lies in one or two cache
lines: its symbol, the pair that it begins (kept here, so that taking a pair away needs no search), its word, and the distances to
its neighbours. A merge goes through the nodes of its pair from left to right. All pairs that it creates hold the new symbol, so
two arrays indexed by the other symbol find them without a hash table. Their positions are then sorted by pair into one array.

A pair gets all its positions in the sweep that creates its younger symbol; each sweep adds at most two for every node that it
removes. So positions never need more than three times the number of nodes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.vocabulary import Merges, Vocabulary, check_size, initial_vocabulary

SYMBOL, PAIR, WORD, LINKS = 0, 1, 2, 3
"""Columns of a node; the links are the distance to the node before (upper 16 bits) and after (lower 16 bits), 0 for none."""

LEFT, RIGHT, COUNT, BEGIN, END = 0, 1, 2, 3, 4
"""Columns of a pair: its symbols, how often it occurs, and where its positions lie."""

NONE = 0xFFFFFFFF
LONGEST_WORD = 0xFFFF

Array = npt.NDArray[Any]


def learn_merges(
    text: Array, offsets: Array, lengths: Array, counts: Array, vocab_size: int, special_tokens: Sequence[str]
) -> tuple[Vocabulary, Merges]:
    """As `bpe.training.learn_merges`, of words given as text[offset : offset + length] with their counts.

    No word may have more than LONGEST_WORD bytes.
    """
    check_size(vocab_size, special_tokens)
    vocab = initial_vocabulary(special_tokens)
    pairs = merge_pairs(text, offsets, lengths, counts, vocab_size, len(vocab))
    merges: Merges = []
    for left, right in pairs.tolist():
        merges.append((vocab[left], vocab[right]))
        vocab[len(vocab)] = vocab[left] + vocab[right]
    return vocab, merges


@compiled
def merge_pairs(text, offsets, lengths, counts, vocab_size, first_new):  # type: ignore[no-untyped-def]
    """The pairs of ids that are merged into first_new, first_new + 1, ..., (merges, 2)."""
    nodes = make_nodes(text, offsets, lengths)
    pairs, positions, filled = first_pairs(nodes, counts)
    number_of_pairs = len(pairs)
    tokens, token_begins = byte_tokens(vocab_size)
    heap = np.empty((2 * len(pairs) + 16, 2), np.int64)
    size = 0
    for pair in range(number_of_pairs):
        size = push(heap, size, pair, pairs, tokens, token_begins)
    left_of, right_of = np.full((vocab_size, 2), -1, np.int64), np.full((vocab_size, 2), -1, np.int64)
    log = np.empty((1024, 2), np.int64)
    merges = np.empty((max(vocab_size - first_new, 0), 2), np.int64)
    new = first_new
    while size > 0 and new < vocab_size:
        count, best = heap[0]
        size = pop(heap, size, pairs, tokens, token_begins)
        if pairs[best, COUNT] != count:
            if pairs[best, COUNT] > 0:
                size = push(heap, size, best, pairs, tokens, token_begins)
            continue
        merges[new - first_new, 0], merges[new - first_new, 1] = pairs[best, LEFT], pairs[best, RIGHT]
        tokens, token_begins = add_token(tokens, token_begins, new, pairs[best, LEFT], pairs[best, RIGHT])
        most = 2 * (pairs[best, END] - pairs[best, BEGIN])
        if number_of_pairs + most > len(pairs):
            pairs = grown(pairs, number_of_pairs, number_of_pairs + most)
        if most > len(log):
            log = np.empty((2 * most, 2), np.int64)
        before = number_of_pairs
        number_of_pairs, logged = sweep(nodes, counts, pairs, number_of_pairs, positions, best, new, left_of, right_of, log)
        filled = place(pairs, before, number_of_pairs, positions, filled, log, logged)
        if size + number_of_pairs - before >= len(heap):
            heap = grown(heap, size, size + number_of_pairs - before + 1)
        for pair in range(before, number_of_pairs):
            if pairs[pair, COUNT] > 0:
                size = push(heap, size, pair, pairs, tokens, token_begins)
        new += 1
    return merges[: new - first_new]


@compiled
def sweep(nodes, counts, pairs, number_of_pairs, positions, best, new, left_of, right_of, log):  # type: ignore[no-untyped-def]
    """Merge every occurrence of the pair `best` into `new`; returns the number of pairs and of logged (pair, position)s.

    left_of[s] is the pair (s, new) and right_of[s] the pair (new, s), where their second column says that they belong to `new`.
    """
    logged = 0
    for i in range(pairs[best, BEGIN], pairs[best, END]):
        position = np.int64(positions[i])
        if nodes[position, PAIR] != best:
            continue  # an overlapping occurrence was merged before
        weight = counts[nodes[position, WORD]]
        second = position + (nodes[position, LINKS] & 0xFFFF)
        to_before, to_after = nodes[position, LINKS] >> 16, np.int64(nodes[second, LINKS] & 0xFFFF)
        nodes[position, SYMBOL] = new
        if to_before:
            before = position - to_before
            symbol = nodes[before, SYMBOL]
            pairs[nodes[before, PAIR], COUNT] -= weight
            if left_of[symbol, 1] != new:
                left_of[symbol, 0], left_of[symbol, 1] = number_of_pairs, new
                start_pair(pairs, number_of_pairs, symbol, new)
                number_of_pairs += 1
            pair = left_of[symbol, 0]
            pairs[pair, COUNT] += weight
            nodes[before, PAIR] = pair
            log[logged, 0], log[logged, 1] = pair, before
            logged += 1
        if to_after:
            after = second + to_after
            distance = after - position
            symbol = nodes[after, SYMBOL]
            pairs[nodes[second, PAIR], COUNT] -= weight
            if right_of[symbol, 1] != new:
                right_of[symbol, 0], right_of[symbol, 1] = number_of_pairs, new
                start_pair(pairs, number_of_pairs, new, symbol)
                number_of_pairs += 1
            pair = right_of[symbol, 0]
            pairs[pair, COUNT] += weight
            nodes[position, PAIR] = pair
            log[logged, 0], log[logged, 1] = pair, position
            logged += 1
            nodes[after, LINKS] = distance << 16 | (nodes[after, LINKS] & 0xFFFF)
            nodes[position, LINKS] = to_before << 16 | distance
        else:
            nodes[position, PAIR] = NONE
            nodes[position, LINKS] = to_before << 16
        nodes[second, PAIR] = NONE
    pairs[best, COUNT] = 0
    return number_of_pairs, logged


@compiled
def start_pair(pairs, pair, left, right):  # type: ignore[no-untyped-def]
    pairs[pair, LEFT], pairs[pair, RIGHT] = left, right
    pairs[pair, COUNT] = pairs[pair, BEGIN] = pairs[pair, END] = 0


@compiled
def place(pairs, first, last, positions, filled, log, logged):  # type: ignore[no-untyped-def]
    """Sort the logged positions by pair behind those there are; returns where the positions end now."""
    for i in range(logged):
        pairs[log[i, 0], END] += 1
    for pair in range(first, last):
        length = pairs[pair, END]
        pairs[pair, BEGIN] = pairs[pair, END] = filled
        filled += length
    for i in range(logged):
        pair = log[i, 0]
        positions[pairs[pair, END]] = log[i, 1]
        pairs[pair, END] += 1
    return filled


@compiled
def make_nodes(text, offsets, lengths):  # type: ignore[no-untyped-def]
    """A node for every byte of every word, not yet with a pair."""
    nodes = np.empty((lengths.sum(), 4), np.uint32)
    node = 0
    for word in range(len(offsets)):
        length = lengths[word]
        for i in range(length):
            nodes[node, SYMBOL] = text[offsets[word] + i]
            nodes[node, PAIR] = NONE
            nodes[node, WORD] = word
            nodes[node, LINKS] = np.int64(i > 0) << 16 | np.int64(i + 1 < length)
            node += 1
    return nodes


@compiled
def first_pairs(nodes, counts):  # type: ignore[no-untyped-def]
    """The pairs of bytes with their counts and positions, and the number of positions; the nodes learn their pairs."""
    pair_of = np.full(1 << 16, NONE, np.int64)
    pairs = np.empty((1 << 16, 5), np.int64)
    number = 0
    for node in range(len(nodes)):
        if nodes[node, LINKS] & 0xFFFF:
            left, right = nodes[node, SYMBOL], nodes[node + 1, SYMBOL]
            key = np.int64(left) << 8 | right
            if pair_of[key] == NONE:
                pair_of[key] = number
                start_pair(pairs, number, left, right)
                number += 1
            nodes[node, PAIR] = pair_of[key]
            pairs[pair_of[key], COUNT] += counts[nodes[node, WORD]]
            pairs[pair_of[key], END] += 1
    positions = np.empty(3 * len(nodes), np.uint32)
    filled = 0
    for pair in range(number):
        length = pairs[pair, END]
        pairs[pair, BEGIN] = pairs[pair, END] = filled
        filled += length
    for node in range(len(nodes)):
        pair = nodes[node, PAIR]
        if pair != NONE:
            positions[pairs[pair, END]] = node
            pairs[pair, END] += 1
    return pairs[:number].copy(), positions, filled


@compiled
def byte_tokens(vocab_size):  # type: ignore[no-untyped-def]
    """The bytes of all tokens one after the other, and where each begins and ends; for now of single bytes."""
    begins = np.zeros((vocab_size, 2), np.int64)
    tokens = np.empty(1 << 12, np.uint8)
    for byte in range(256):
        tokens[byte] = byte
        begins[byte, 0], begins[byte, 1] = byte, byte + 1
    begins[256:] = 256
    return tokens, begins


@compiled
def add_token(tokens, begins, new, left, right):  # type: ignore[no-untyped-def]
    """Append the bytes of `left` and `right` as the token `new`."""
    begin = begins[new - 1, 1]
    end = begin + begins[left, 1] - begins[left, 0] + begins[right, 1] - begins[right, 0]
    if end > len(tokens):
        larger = np.empty(2 * end, np.uint8)
        larger[:begin] = tokens[:begin]
        tokens = larger
    at = begin
    for part in (left, right):
        for i in range(begins[part, 0], begins[part, 1]):
            tokens[at] = tokens[i]
            at += 1
    begins[new, 0], begins[new, 1] = begin, end
    return tokens, begins


@compiled
def grown(rows, used, needed):  # type: ignore[no-untyped-def]
    """A copy of the first rows of an array, with room for at least `needed` and twice those that there were."""
    larger = np.empty((max(needed, 2 * len(rows)), rows.shape[1]), rows.dtype)
    larger[:used] = rows[:used]
    return larger


@compiled
def comes_first(count, pair, other_count, other, pairs, tokens, begins):  # type: ignore[no-untyped-def]
    """Whether a pair is merged before another: it is more frequent, or as frequent and the greater pair of byte strings."""
    if count != other_count:
        return count > other_count
    for side in (LEFT, RIGHT):
        one, two = pairs[pair, side], pairs[other, side]
        if one != two:
            i, j = begins[one, 0], begins[two, 0]
            while i < begins[one, 1] and j < begins[two, 1] and tokens[i] == tokens[j]:
                i += 1
                j += 1
            if j == begins[two, 1]:
                return True
            return i < begins[one, 1] and tokens[i] > tokens[j]
    return False


@compiled
def push(heap, size, pair, pairs, tokens, begins):  # type: ignore[no-untyped-def]
    """Add a pair with its present count to a binary heap of (count, pair); returns the new size."""
    count = pairs[pair, COUNT]
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if not comes_first(count, pair, heap[parent, 0], heap[parent, 1], pairs, tokens, begins):
            break
        heap[at] = heap[parent]
        at = parent
    heap[at, 0], heap[at, 1] = count, pair
    return size + 1


@compiled
def pop(heap, size, pairs, tokens, begins):  # type: ignore[no-untyped-def]
    """Remove the first entry of the heap; returns the new size."""
    size -= 1
    count, pair = heap[size]
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and comes_first(
            heap[child + 1, 0], heap[child + 1, 1], heap[child, 0], heap[child, 1], pairs, tokens, begins
        ):
            child += 1
        if not comes_first(heap[child, 0], heap[child, 1], count, pair, pairs, tokens, begins):
            break
        heap[at] = heap[child]
        at = child
    heap[at, 0], heap[at, 1] = count, pair
    return size
