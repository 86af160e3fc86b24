"""From sorted positions to the arrays of one length: its n-grams, their counts, and where each continues and is continued."""

import numpy as np

from stages.lm.bpe.compiled.compiler import compiled


@compiled
def link(n, sorted_, grams, contexts, stream, below, here, window, first, tokens, counts, suffix):  # type: ignore[no-untyped-def]
    """Write the n-grams that a run of sorted positions begins with, n >= 2, into the arrays of a `counts.Level`.

    `grams` and `contexts` are the indices of the first n-gram and of its context; `below` and `here` hold, by position,
    the n-gram of length n - 1 and n that begins there. Only positions inside `window` are looked at there, so that little of
    these arrays needs to be in memory; runs over all windows give the whole. For n = 2, `first` is that of the tokens that occur.
    """
    positions, lengths, shared = sorted_
    low, high = window
    gram, context = np.int64(grams) - 1, np.int64(contexts) - 1
    for row in range(len(positions)):
        length = lengths[row]
        if length < n - 1:
            continue
        same = shared[row]
        if same < n - 1:
            context += 1
            if low == 0:
                first[context] = gram + 1
        if length < n:
            continue
        position = np.int64(positions[row])
        inside = low <= position < high
        if same < n:
            gram += 1
            if inside:
                tokens[gram] = stream[position + n - 1]
                suffix[gram] = below[position + 1]
        if low == 0:
            counts[gram] += 1
        if inside:
            here[position] = gram


@compiled
def tally_between(index, low, high, counts):  # type: ignore[no-untyped-def]
    """Add to counts[i - low] how often each i, low <= i < high, occurs in `index`."""
    for i in range(len(index)):
        found = np.int64(index[i])
        if low <= found < high:
            counts[found - low] += 1
