"""Verdicts on copies, against a dictionary."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.corpus import deduplication
from stages.lm.corpus.deduplication import DUPLICATE, KEEP, LEAKED, DuplicateFinder, text_digest


@pytest.mark.parametrize("deduplicate", [True, False])
@given(documents=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=60))
def test_verdicts(tmp_path_factory: pytest.TempPathFactory, deduplicate: bool, documents: list[tuple[int, int]]) -> None:
    folder: Path = tmp_path_factory.mktemp("buckets")
    finder = DuplicateFinder(folder)
    for text, rank in documents:
        finder.add(text_digest(b"x" * text), rank, text)
    file, totals = finder.judge(deduplicate)

    best: dict[int, int] = defaultdict(lambda: 3)
    for text, rank in documents:
        best[text] = min(best[text], rank)
    expected, kept = [], set()
    for text, rank in documents:
        copy = DUPLICATE if text in kept and deduplicate else KEEP
        expected.append(LEAKED if rank != best[text] else copy)
        kept |= {text} if rank == best[text] else set()
    assert np.fromfile(file, np.uint8).tolist() == expected
    for verdict in (KEEP, DUPLICATE, LEAKED):
        sizes = [text for (text, _), found in zip(documents, expected, strict=True) if found == verdict]
        assert totals[verdict] == (len(sizes), sum(sizes))


def test_records_go_to_disk_in_several_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deduplication, "RECORDS_IN_MEMORY", 10)
    finder = DuplicateFinder(tmp_path)
    for index in range(1000):
        finder.add(text_digest(str(index % 300).encode()), 0, 1)
        assert len(finder.waiting) < 10
    file, _ = finder.judge(True)
    assert np.fromfile(file, np.uint8).tolist() == [KEEP] * 300 + [DUPLICATE] * 700
