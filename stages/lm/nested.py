"""Nested mappings by the paths to what they hold."""

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(values: Mapping[Any, Any], joint: str = ".", above: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) for everything that is no mapping, or an empty one, in the order in which it stands."""
    for key, value in values.items():
        path = f"{above}{joint}{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, joint, path)
        else:
            yield path, value
