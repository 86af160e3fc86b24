"""What a variant has read of a batch of texts: rows that have read equally many tokens are together, with a cache of their own.

Caches of transformers hold rows of one length, and whether a variant understands padding nobody knows: it is asked for none.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass
class Group:
    """Rows of a batch that have read equally many tokens."""

    rows: list[int]
    """Which ones of the batch."""
    ids: Tensor
    """What they have read: LongTensor (rows, length)."""
    cache: Any
    """What the model keeps of that: nothing where it has no use for a cache."""

    def chosen(self, places: list[int], rows: list[int]) -> "Group":
        """Its members at these places, as these rows of a batch; the group itself is of no use after that."""
        index = torch.tensor(places, dtype=torch.long, device=self.ids.device)
        self.cache.batch_select_indices(index)
        return Group(rows, self.ids[index], self.cache)


@dataclass
class HuggingFaceState:
    """A batch of texts."""

    groups: list[Group]

    def put(self, rows: Tensor, other: "HuggingFaceState") -> None:
        """These rows become those of `other`, which is of no use after that."""
        taken = rows.tolist()
        left = [[row for row in group.rows if row not in taken] for group in self.groups]
        kept = [
            group.chosen([group.rows.index(row) for row in still], still)
            for group, still in zip(self.groups, left, strict=True)
            if still
        ]
        self.groups = kept + [replace(group, rows=[taken[row] for row in group.rows]) for group in other.groups]

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was: rows may be repeated or left out."""
        before, found = rows.tolist(), []
        for group in self.groups:
            now = [row for row, old in enumerate(before) if old in group.rows]
            if now:
                found.append(group.chosen([group.rows.index(before[row]) for row in now], now))
        self.groups = found
