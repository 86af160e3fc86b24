"""Encode documents: special tokens first, then the words between them, in batches that are looked up in two goes.

The first go only asks for the cache lines of all words of a batch; the processor fetches them side by side while it goes on. By
the second go they are there. New words are merged, and remembered.
"""

import numpy as np

from stages.lm.bpe.compiled.blocks import word_ends
from stages.lm.bpe.compiled.compiler import compiled
from stages.lm.bpe.compiled.memory import load64, prefetch, store64
from stages.lm.bpe.compiled.merging import store_id
from stages.lm.bpe.compiled.special import next_special
from stages.lm.bpe.compiled.wordcache import TASK, find, key_of, line_of, rare_word

ROOM = 32
"""Bytes behind the last id that may be written to."""


@compiled
def encode_documents(pattern, kinds, merges, special, cache, text, offsets, out, counts, end_id):  # type: ignore[no-untyped-def]
    """Write the ids of documents to `out`, each with `end_id` behind it if that is not negative.

    Document i is `text + offsets[i]` to `text + offsets[i + 1]`; counts[i] becomes the number of its ids. Returns the number of
    all ids. `out` needs room for an id a byte, one a document, and ROOM.
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


@compiled
def encode_text(pattern, kinds, merges, cache, position, end, out):  # type: ignore[no-untyped-def]
    """Write the ids of a text without special tokens to `out`; returns the address behind them."""
    while position < end:
        number = word_ends(pattern, position, end, kinds, cache.ends)
        fetch(cache, position, number)
        out = look_up(merges, cache, position, number, out)
        position = np.int64(load64(cache.ends + 8 * (number - 1)))
    return out


@compiled
def fetch(cache, position, number):  # type: ignore[no-untyped-def]
    """Note the keys and lines of a batch of words, and have the lines fetched."""
    task = cache.tasks
    for i in range(number):
        after = np.int64(load64(cache.ends + 8 * i))
        low, high = key_of(cache, position, after - position)
        line = line_of(cache, low, high)
        prefetch(line)
        store64(task, low)
        store64(task + 8, high)
        store64(task + 16, np.uint64(line))
        task += TASK
        position = after


@compiled
def look_up(merges, cache, position, number, out):  # type: ignore[no-untyped-def]
    """Write the ids of a batch of words; returns the address behind them."""
    count_shift = np.uint64(64 - 8 * merges.id_bytes)
    task = cache.tasks
    for i in range(number):
        after = np.int64(load64(cache.ends + 8 * i))
        slot = find(np.int64(load64(task + 16)), load64(task), load64(task + 8))
        if slot:
            # All that a slot can hold, whatever it holds: what is too much is overwritten by the next word.
            last = load64(slot + 24)
            store64(out, load64(slot + 16))
            store64(out + 8, last)
            out += np.int64(last >> count_shift) * merges.id_bytes
        else:
            out += rare_word(merges, cache, position, after - position, out) * merges.id_bytes
        task += TASK
        position = after
    return out
