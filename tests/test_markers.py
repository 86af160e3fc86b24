"""Generated text in a page: between its comments, and nowhere else."""

import pytest

from tests.benchmarks.markers import replaced

PAGE = "# Page\n\n<!-- begin table -->\nold\n<!-- end table -->\n\nThe end.\n"


def test_what_stood_between_is_replaced() -> None:
    once = replaced(PAGE, "table", "new\n")
    assert once == "# Page\n\n<!-- begin table -->\n\nnew\n\n<!-- end table -->\n\nThe end.\n"
    assert replaced(once, "table", "new") == once


def test_a_page_without_its_comments() -> None:
    for page in ("", PAGE.replace("end table", "end tables"), PAGE + PAGE, "<!-- end table -->\n<!-- begin table -->\n"):
        with pytest.raises(ValueError, match="no one pair"):
            replaced(page, "table", "new")
