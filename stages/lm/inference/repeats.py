"""What a text repeats: the cheapest of drafts (prompt lookup: Saxena 2023; the cache of Kuhn and De Mori 1990, as a draft)."""

from collections.abc import Sequence

KNOWN_BY = 3
"""So many tokens have to have been there before."""


class Repeats:
    """Which token came after the last few, when the text had them before."""

    def __init__(self) -> None:
        self._following: dict[tuple[int, ...], int] = {}
        self._read = KNOWN_BY

    def read(self, ids: Sequence[int]) -> None:
        """Remember a text: the one that was read before, and what it goes on with."""
        for place in range(self._read, len(ids)):
            self._following[tuple(ids[place - KNOWN_BY : place])] = ids[place]
        self._read = max(self._read, len(ids))

    def after(self, ids: Sequence[int]) -> int | None:
        """The token that came after these last ones the last time; None if they are new, or fewer."""
        return self._following.get(tuple(ids[-KNOWN_BY:]))
