"""Promises beside measurements, worked by hand."""

from typing import Any

import pytest

from stages.lm.accounting.reconcile import errors, reconcile

ESTIMATE: dict[str, Any] = {
    "parameters": {"embedding": 40, "total": 100},
    "tokens": 1000,
    "flops": {"forward_per_token": {"head": 200, "total": 200}, "training_total": 600_000},
    "memory_bytes": {"total": 3000},
    "time": {"seconds": 8.0, "tokens_per_second": 125.0},
    "decoding": {"cache_bytes": 5, "tokens_per_second": {"1 at once": 30.0, "16 at once": 200.0}},
}
TRAINED = {"parameters": 100, "tokens": 1250}
TIMING = {"training_memory_bytes": 4000, "seconds": 10.0, "tokens_per_second": 100.0}


def test_every_quantity_has_its_error_in_per_cent_of_the_measurement() -> None:
    """1000 of 1250 tokens are 20 % too few. No run counts its operations."""
    rows = reconcile(ESTIMATE, TRAINED, TIMING, {"tokens_per_second": 25.0, "at_once": 1})
    assert errors(rows) == pytest.approx(
        {
            "parameters": 0,
            "tokens": -20,
            "peak memory": -25,
            "training time": -20,
            "tokens a second": 25,
            "tokens a second, decoding": 20,
        }
    )
    assert rows[2].record() == {
        "quantity": "operations", "unit": "FLOP", "predicted": 600_000, "measured": None, "error_percent": None
    }  # fmt: skip
    assert rows[3].record() == {
        "quantity": "peak memory", "unit": "bytes", "predicted": 3000, "measured": 4000, "error_percent": -25
    }  # fmt: skip


def test_what_was_not_predicted_or_not_measured_has_no_error() -> None:
    unknown = ESTIMATE | {"time": {"seconds": None, "tokens_per_second": None}, "decoding": {}}
    rows = reconcile(unknown, TRAINED, TIMING, {"tokens_per_second": 25.0, "at_once": 1})
    assert set(errors(rows)) == {"parameters", "tokens", "peak memory"}
    assert {row.quantity: (row.predicted, row.measured) for row in rows}["tokens a second, decoding"] == (None, 25.0)
    assert errors(reconcile(ESTIMATE, None, None)) == {}


def test_counting_has_no_operations() -> None:
    counting = ESTIMATE | {"flops": {"forward_per_token": {"total": 0}, "training_total": 0}}
    (row,) = [row for row in reconcile(counting, TRAINED, TIMING) if row.quantity == "operations"]
    assert (row.predicted, row.measured) == (None, None)


def test_decoding_is_compared_at_the_same_number_of_texts() -> None:
    rows = reconcile(ESTIMATE, None, None, {"tokens_per_second": 100.0, "at_once": 16})
    assert errors(rows) == {"tokens a second, decoding": 100}
    assert errors(reconcile(ESTIMATE, None, None, {"tokens_per_second": 100.0, "at_once": 3})) == {}
