"""Variety of texts, counted by hand."""

import pytest

from stages.lm.evaluation.quality import quality


def test_distinct_n_grams_of_two_texts() -> None:
    """a b a / a b .: 6 words of 3 kinds; ab ba ab b.: 4 pairs of 3 kinds; aba ab.: all triples differ."""
    found = quality(["a b a", "a b."])
    assert found["words"] == 6
    assert found["distinct"] == {"1": 3 / 6, "2": 3 / 4, "3": 1.0}
    assert found["repeated"] is None, "no text has four words in a row"


def test_repetition_is_within_a_text() -> None:
    """Of the 5 quadruples of an 8-word loop of two words 2 differ; a text that another repeats does not repeat itself."""
    assert quality(["x y x y x y x y"])["repeated"] == pytest.approx(1 - 2 / 5)
    assert quality(["one two three four", "one two three four"])["repeated"] == 0.0
    assert quality(["x y x y x y x y", "a b c d e"])["repeated"] == pytest.approx(0.5 * (1 - 2 / 5))


def test_words_are_words_in_any_script_and_marks_stand_alone() -> None:
    assert quality(['"Où?" — 東京!'])["words"] == 7


def test_no_text_has_no_variety() -> None:
    assert quality(["", " \n"]) == {"words": 0, "distinct": {"1": None, "2": None, "3": None}, "repeated": None}
