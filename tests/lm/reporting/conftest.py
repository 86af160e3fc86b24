"""Fixtures of the report's tests."""

from pathlib import Path

import pytest

from tests.lm.reporting.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty results folder to make artifacts in."""
    return Workshop(tmp_path / "results")
