"""Whether two answers are the same, and if not, where they part, in words."""

from typing import Any

import torch
from torch import Tensor

LONGEST = 160
"""Characters of a value that is shown."""


def difference(found: Any, expected: Any, tolerance: float, where: str = "the answer") -> str | None:
    """None where they agree. Numbers may lie tolerance * (1 + |expected|) apart; all else is equal or not."""
    if isinstance(expected, Tensor):
        return _of_tensors(found, expected, tolerance, where)
    if isinstance(expected, bool) or expected is None or isinstance(expected, str | bytes):
        return None if type(found) is type(expected) and found == expected else _instead(found, expected, where)
    if isinstance(expected, int | float):
        if isinstance(found, bool) or not isinstance(found, int | float):
            return _instead(found, expected, where)
        near = found == expected or abs(found - expected) <= tolerance * (1 + abs(expected))
        return None if near else _instead(found, expected, where)
    if isinstance(expected, dict):
        return _of_mappings(found, expected, tolerance, where)
    return _of_lists(found, expected, tolerance, where)


def _of_mappings(found: Any, expected: dict[Any, Any], tolerance: float, where: str) -> str | None:
    if not isinstance(found, dict) or found.keys() != expected.keys():
        return _instead(found, expected, where)
    parts = (difference(found[key], value, tolerance, str(key)) for key, value in expected.items())
    return next((part for part in parts if part is not None), None)


def _of_lists(found: Any, expected: list[Any], tolerance: float, where: str) -> str | None:
    if not isinstance(found, list):
        return _instead(found, expected, where)
    for place, (one, other) in enumerate(zip(found, expected, strict=False)):
        if part := difference(one, other, tolerance, f"{where}, entry {place},"):
            return part
    if len(found) != len(expected):
        return f"{where} has {len(found)} entries instead of {len(expected)}"
    return None


def _of_tensors(found: Any, expected: Tensor, tolerance: float, where: str) -> str | None:
    if not isinstance(found, Tensor):
        return f"{where} is {shown(found)}, not a tensor"
    if found.shape != expected.shape:
        return f"{where} has shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
    if found.dtype != expected.dtype:
        return f"{where} has type {found.dtype} instead of {expected.dtype}"
    one, other = found.double(), expected.double()
    near = (one == other) | ((one - other).abs() <= tolerance * (1 + other.abs())) | (one.isnan() & other.isnan())
    if near.all():
        return None
    place = (~near).nonzero()[0]
    index = tuple(place.tolist())
    at = f" at {list(index)}" if index else ""
    share = f"; {int((~near).sum())} of {near.numel()} numbers are off" if near.numel() > 1 else ""
    return f"{where} is {one[index]:.6g} instead of {other[index]:.6g}{at}{share}"


def _instead(found: Any, expected: Any, where: str) -> str:
    return f"{where} is {shown(found)} instead of {shown(expected)}"


def shown(value: Any) -> str:
    """A value in one short line."""
    text = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
