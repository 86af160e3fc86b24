"""Counting with the compiled functions gives the arrays of the plain reference, whatever the memory and the threads."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lm.models.ngram.compiled.counting import Counter, divide
from stages.lm.models.ngram.counts import Level, Tokens, count
from stages.lm.models.ngram.kneser_ney import kneser_ney, tally
from stages.lm.models.ngram.workspace import Workspace

LARGE = 1 << 30


def stream(documents: list[list[int]], dtype: type = np.uint16) -> Tokens:
    return np.array([token for document in documents for token in [*document, 0]], dtype)


def assert_equal(found: list[Level], expected: list[Level]) -> None:
    for one, other in zip(found, expected, strict=True):
        for left, right in zip(astuple(one), astuple(other), strict=True):
            assert left.dtype == right.dtype
            assert np.array_equal(left, right)


@settings(deadline=None)  # the first example compiles
@given(
    documents=st.lists(st.lists(st.integers(1, 5), max_size=12), min_size=1, max_size=20),
    order=st.integers(1, 9),
    threads=st.integers(1, 2),
    memory=st.sampled_from([1, 500, LARGE]),
)
def test_counts_are_those_of_the_reference(documents: list[list[int]], order: int, threads: int, memory: int) -> None:
    ids = stream(documents)
    counter = Counter(Workspace(mapped=memory < LARGE), memory, threads)
    assert_equal(counter.count(ids, order, 6), count(ids, order, 6))


@pytest.mark.parametrize(("vocab_size", "order"), [(300, 5), (50_257, 16), (70_000, 5), (2**21, 3)])
def test_keys_of_every_width(vocab_size: int, order: int) -> None:
    """The tokens of a record fill one, four, two and one words of 64 bits."""
    rng = np.random.default_rng(order)
    documents = [(vocab_size - rng.zipf(1.3, size=n).clip(1, vocab_size - 1)).tolist() for n in rng.integers(0, 60, size=100)]
    ids = stream(documents, np.uint16 if vocab_size <= 1 << 16 else np.uint32)
    assert_equal(Counter(Workspace(mapped=False), LARGE).count(ids, order, vocab_size), count(ids, order, vocab_size))


def test_a_smoothed_model_does_not_depend_on_the_way_it_was_counted() -> None:
    rng = np.random.default_rng(0)
    ids = stream([rng.zipf(1.5, size=50).clip(1, 99).tolist() for _ in range(200)])
    workspace = Workspace(mapped=True)
    counter = Counter(workspace, 2000, threads=2)
    found = kneser_ney(counter.count(ids, 4, 100), 0, workspace, counter.tally)
    for one, other in zip(found, kneser_ney(count(ids, 4, 100), 0), strict=True):
        assert all(np.array_equal(left, right) for left, right in zip(astuple(one), astuple(other), strict=True))


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 500))
def test_tallies_are_those_of_the_reference(index: list[int], memory: int) -> None:
    numbers = np.array(index, np.uint32)
    counter = Counter(Workspace(mapped=True), memory, threads=2)
    assert np.array_equal(counter.tally(numbers, 41), tally(numbers, 41))


@given(st.lists(st.integers(0, 30), min_size=1), st.integers(1, 50))
def test_blocks_hold_no_more_than_they_may(frequencies: list[int], most: int) -> None:
    """Each token is followed by itself alone, so that too frequent ones cannot be divided."""
    span = len(frequencies) + 1

    def followers(token: int) -> Tokens:
        return np.bincount([token + 1], minlength=span) * frequencies[token]

    row = 0
    for block in divide(np.array(frequencies), most, followers):
        pairs = {span * token + token + 1: frequency for token, frequency in enumerate(frequencies)}
        inside = [frequency for pair, frequency in pairs.items() if block.begin <= pair < block.end and frequency]
        assert block.rows == slice(row, row + sum(inside))
        assert sum(inside) <= most or len(inside) == 1
        row = block.rows.stop
    assert row == sum(frequencies)
