"""Numbers as they are shown."""

import pytest

from stages.lm.reporting.cells import Cell, count, duration, operations, percent, size


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (count(0), "0"),
        (count(1234567), "1,234,567"),
        (count(12_345_678), "12.3 M"),
        (count(1_558_000_000), "1.56 B"),
        (operations(3.496e11), "350 GFLOP"),
        (operations(4.5133e12), "4.51 TFLOP"),
        (operations(1000.0), "1.00 kFLOP"),
        (size(1023), "1,023 B"),
        (size(1024), "1.00 KiB"),
        (size(20 * 2**20), "20.0 MiB"),
        (size(1.5 * 2**30), "1.50 GiB"),
        (duration(0.04), "0.0 s"),
        (duration(9.96), "10.0 s"),
        (duration(59.4), "59 s"),
        (duration(59.6), "1 min 00 s"),
        (duration(3599.7), "1 h 00 min"),
        (duration(3900), "1 h 05 min"),
        (percent(4.849), "4.8 %"),
    ],
)
def test_numbers_have_the_digits_that_matter(shown: str, expected: str) -> None:
    assert shown.replace("\u00a0", " ") == expected


def test_a_cell_links_to_its_artifact_and_escapes_what_it_shows() -> None:
    cell = Cell('<&"', "train/gpt-1", "../../train/gpt-1/")
    assert cell.__html__() == '<a class="from" href="../../train/gpt-1/" title="train/gpt-1">&lt;&amp;&quot;</a>'
    assert Cell("<b>").__html__() == "&lt;b&gt;"
