"""Plots as inline SVG."""

import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.reporting.figures import histogram, spread

HEIGHTS = st.lists(st.floats(min_value=-10, max_value=10), max_size=9)


@given(heights=HEIGHTS, gap=st.floats(min_value=0.01, max_value=2))
def test_labels_keep_their_order_and_their_distance(heights: list[float], gap: float) -> None:
    placed = spread(heights, gap)
    in_order = [placed[i] for i in sorted(range(len(heights)), key=lambda i: heights[i])]
    assert all(above - below >= gap * (1 - 1e-6) for below, above in itertools.pairwise(in_order))
    assert sum(placed) == pytest.approx(sum(heights), abs=1e-6)


def test_labels_far_apart_stay_where_they_are() -> None:
    assert spread([3.0, 1.0, 2.0], 0.5) == [3.0, 1.0, 2.0]
    assert spread([1.0, 1.0], 0.5) == [0.75, 1.25]


def test_a_plot_is_the_same_bytes_again_and_takes_colours_and_fonts_from_the_page() -> None:
    values = np.random.default_rng(0).integers(10, 90, size=500)
    drawn = histogram(values, "lengths", "bytes in a <document>")
    assert drawn == histogram(values, "lengths", "bytes in a <document>")
    assert "#fe000" not in drawn
    assert "#fd000" not in drawn
    assert "DejaVu" not in drawn
    assert "var(--muted)" in drawn
    assert "<metadata>" not in drawn
    root = ElementTree.fromstring(f'<div xmlns:xlink="http://www.w3.org/1999/xlink">{drawn}</div>')
    labels = [svg.get("aria-label") for svg in root.iter("{http://www.w3.org/2000/svg}svg")]
    assert len(labels) == 2
    assert all(label is not None and "bytes in a <document>: from 10 to 89, median" in label for label in labels)


@pytest.mark.parametrize("values", [[5], [1, 1, 1], [0, 3], [1, 10, 100, 1000, 10_000]])
def test_any_lengths_have_a_histogram(values: list[int]) -> None:
    assert f"median {float(np.median(values)):,g}" in histogram(np.array(values), "lengths", "bytes")
