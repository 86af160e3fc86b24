"""Where two answers part, in words."""

from typing import Any

import pytest
import torch

from stages.lm.grading.comparing import difference

ONE = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (ONE + 1e-7, ONE),
        (1.0000001, 1.0),
        (1, 1.0),
        (float("inf"), float("inf")),
        ({"a": [1, "x", b"y", None]}, {"a": [1, "x", b"y", None]}),
        (torch.tensor([float("nan"), float("-inf")]), torch.tensor([float("nan"), float("-inf")])),
    ],
)
def test_the_same(found: Any, expected: Any) -> None:
    assert difference(found, expected, 1e-5) is None


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        (ONE.T, ONE, "the answer is 3 instead of 2 at [0, 1]; 2 of 4 numbers are off"),
        (ONE[:, :1], ONE, "the answer has shape (2, 1) instead of (2, 2)"),
        (ONE.double(), ONE, "the answer has type torch.float64 instead of torch.float32"),
        (ONE * float("nan"), ONE, "the answer is nan instead of 1 at [0, 0]; 4 of 4 numbers are off"),
        (ONE.tolist(), ONE, "the answer is [[1.0, 2.0], [3.0, 4.0]], not a tensor"),
        ([1, 2], [1, 2, 3], "the answer has 2 entries instead of 3"),
        ([1, 5, 3], [1, 2, 3], "the answer, entry 1, is 5 instead of 2"),
        ("a", "b", "the answer is 'a' instead of 'b'"),
        (True, 1, "the answer is True instead of 1"),
        (1, True, "the answer is 1 instead of True"),
        (float("nan"), 1.0, "the answer is nan instead of 1.0"),
        (None, [1], "the answer is None instead of [1]"),
        ({"size": 3}, {"size": 4}, "size is 3 instead of 4"),
        ({"a": 3}, {"b": 4}, "the answer is {'a': 3} instead of {'b': 4}"),
    ],
)
def test_where_they_part(found: Any, expected: Any, message: str) -> None:
    assert difference(found, expected, 1e-5) == message


def test_long_values_are_cut() -> None:
    assert len(difference("a" * 1000, "b", 0.0) or "") < 250
