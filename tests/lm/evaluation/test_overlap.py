"""Overlap with the training text, against sets of tuples."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.evaluation import overlap as module
from stages.lm.evaluation.overlap import overlap, seen_tokens
from stages.lm.evaluation.scores import Documents
from stages.lm.evaluation.settings import EvaluationSettings

END = 0
DOCUMENTS = st.lists(st.lists(st.integers(min_value=1, max_value=3), max_size=12), min_size=1, max_size=6)


def array(documents: list[list[int]]) -> Any:
    """With the part of TokenArray's interface that is needed; every document gets its end."""
    offsets = np.cumsum([0, *(len(document) + 1 for document in documents)])
    return SimpleNamespace(ids=np.array([i for document in documents for i in (*document, END)], np.uint16), offsets=offsets)


def by_definition(split: list[list[int]], train: list[list[int]], n: int) -> list[int]:
    known = {tuple(document[i : i + n]) for document in train for i in range(len(document) - n + 1)}
    counts = []
    for document in split:
        seen: set[int] = set()
        for i in range(len(document) - n + 1):
            if tuple(document[i : i + n]) in known:
                seen |= set(range(i, i + n))
        counts.append(len(seen))
    return counts


@given(split=DOCUMENTS, train=DOCUMENTS, n=st.integers(min_value=1, max_value=5))
def test_seen_tokens_are_those_of_the_definition(split: list[list[int]], train: list[list[int]], n: int) -> None:
    assert seen_tokens(array(split), array(train), n).tolist() == by_definition(split, train, n)


@given(split=DOCUMENTS, train=DOCUMENTS, n=st.integers(min_value=1, max_value=4))
def test_blocks_and_chunks_change_nothing(split: list[list[int]], train: list[list[int]], n: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 5)
        patch.setattr(module, "CHUNK", 3)
        assert seen_tokens(array(split), array(train), n).tolist() == by_definition(split, train, n)


def test_hashes_that_collide_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 31 hash values nearly every n-gram of the training text has that of another one in the split."""
    generator = np.random.default_rng(0)
    split, train = ([generator.integers(1, 5, size=size).tolist()] for size in (14, 300))
    original, tried = module._hashes, []

    def weak(columns: Any, multiplier: np.uint64) -> Any:
        tried.append(multiplier)
        return original(columns, multiplier) % np.uint64(31) << np.uint64(59)

    monkeypatch.setattr(module, "_hashes", weak)
    for n in (4, 5, 6):
        assert seen_tokens(array(split), array(train), n).tolist() == by_definition(split, train, n)
    assert len(set(tried)) > 3, "a multiplier by which two n-grams of the split collide is replaced"


SETTINGS = EvaluationSettings(bootstrap_samples=100)


def test_documents_are_parted_by_their_share_of_seen_tokens() -> None:
    bits, lengths = np.array([8.0, 8.0, 10.0, 3.0]), np.array([4, 4, 5, 6])
    documents = Documents(bits * math.log(2), np.array([11, 11, 11, 11]), lengths, None)
    found = overlap(documents, np.array([0, 1, 2, 10]), 13, SETTINGS)
    assert (found["n"], found["tokens"], found["seen"], found["documents_with_any"]) == (13, 40, 13, 3)
    assert [band["documents"] for band in found["by_share"]] == [2, 1, 1]
    assert [band["bits_per_byte"]["value"] for band in found["by_share"]] == pytest.approx([2.0, 2.0, 0.5])


def test_a_band_without_documents_has_no_cost() -> None:
    found = overlap(Documents(np.array([3.0]), np.array([1]), np.array([4]), None), np.array([0]), 13, SETTINGS)
    assert [band["documents"] for band in found["by_share"]] == [1, 0, 0]
    assert found["by_share"][2]["bits_per_byte"] is None
