"""Back-off tables: the form in which every smoothed n-gram model can be written, as an ARPA file writes it.

    p(w | context) = probability(context w)                                     if that n-gram is in the tables
                     backoff(context) p(w | context without its first token)    otherwise

with a back-off weight of 1 for a context that is not in the tables. Interpolated models fit too: the probability of an n-gram in
the tables already holds the share of the shorter ones.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stages.lm.models.ngram.counts import Indices, Tokens

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass
class Table:
    """The n-grams of one length, in the order of `counts.Level`; `first` is (contexts + 1), the others (n-grams)."""

    first: Indices
    tokens: Tokens
    probability: Singles
    """p(last token | the others)."""
    backoff: Singles
    """The weight of the lower order where this n-gram is the context; empty for the longest n-grams."""


def find(table: Table, contexts: Ints, tokens: Ints) -> Ints:
    """The index of each (context, token), -1 where it is absent or the context is -1; any shape.

    A binary search in all the contexts' slices at once.
    """
    if not len(table.tokens):
        return np.full_like(contexts, -1)
    known = contexts >= 0
    context = np.where(known, contexts, 0)
    low = table.first[context].astype(np.int64)
    high = np.where(known, table.first[context + 1], low)
    end = high
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) // 2
        # An empty slice may begin at the very end of the table.
        before = (low < high) & (table.tokens[np.minimum(middle, len(table.tokens) - 1)] < tokens)
        low, high = np.where(before, middle + 1, low), np.where(before, high, middle)
    found = low < end
    found[found] = table.tokens[low[found]] == tokens[found]
    return np.where(found, low, -1)


def probabilities(tables: list[Table], tokens: Ints) -> Floats:
    """p(tokens[:, t] | tokens[:, :t]): (batch, length) -> (batch, length)."""
    nodes = tokens  # the n-gram of the current length that ends at each position, or -1
    result = tables[0].probability[tokens].astype(np.float64)
    for below, table in pairwise(tables):
        contexts = np.full_like(nodes, -1)
        contexts[:, 1:] = nodes[:, :-1]
        nodes = find(table, contexts, tokens)
        result *= at(below.backoff, contexts, 1.0)
        result = np.where(nodes >= 0, at(table.probability, nodes, 0.0), result)
    return result


def distribution(tables: list[Table], context: Ints) -> Floats:
    """p(. | context), (vocab_size): the known endings of the context, from the shortest to the longest."""
    result = tables[0].probability.astype(np.float64)
    for length in range(1, min(len(context), len(tables) - 1) + 1):
        node = node_of(tables, context[len(context) - length :])
        if node < 0:
            break
        table = tables[length]
        following = slice(int(table.first[node]), int(table.first[node + 1]))
        result *= float(tables[length - 1].backoff[node])
        result[table.tokens[following]] = table.probability[following]
    return result


def node_of(tables: list[Table], tokens: Ints) -> int:
    """The index of an n-gram among those of its length, -1 if it is not in the tables."""
    node = int(tokens[0])
    for table, token in zip(tables[1:], tokens[1:], strict=False):
        begin, end = int(table.first[node]), int(table.first[node + 1])
        node = begin + int(table.tokens[begin:end].searchsorted(token))
        if node == end or table.tokens[node] != token:
            return -1
    return node


def at(values: Singles, index: Ints, default: float) -> Floats:
    """values[index], and `default` where the index is -1."""
    found = np.full(index.shape, default)
    known = index >= 0
    found[known] = values[index[known]]
    return found
