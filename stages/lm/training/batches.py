"""Batches: what one step learns from, and the parts that go through the model at once."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Batch(NamedTuple):
    """The examples of one step, or of one measurement."""

    tensors: tuple[Tensor, ...]
    """What the model's `total_loss` takes; the examples are the first dimension of each, so that any slice is a batch too."""
    predictions: int
    """How many tokens are predicted in it: a loss per token is `total_loss` divided by this."""
    counted: Tensor | None = None
    """For validation: BoolTensor (batch, length), which of the tokens that `token_log_probs` predicts count. None: all do."""
    fresh: bool = False
    """Whether the state that a model carries from batch to batch begins anew here."""
    read: int | None = None
    """How many tokens the model reads, where it does not predict them all."""
    copies: int = 1
    """For validation: how many ranks measure these same examples."""

    @property
    def tokens(self) -> int:
        """What counts as the work of the batch: tokens read, or predicted."""
        return self.predictions if self.read is None else self.read

    def parts(self, size: int) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
        """The batch in slices of at most `size` examples."""
        for start in range(0, len(self.tensors[0]), size):
            rows = slice(start, start + size)
            yield rows, tuple(tensor[rows] for tensor in self.tensors)

    def pinned(self) -> "Batch":
        """The batch in memory that a GPU can copy from by itself."""
        return self._replace(tensors=tuple(tensor.pin_memory() for tensor in self.tensors))

    def to(self, device: torch.device) -> "Batch":
        """The batch in a device's memory; from pinned memory the copy goes on while the device computes."""
        moved = tuple(tensor.to(device, non_blocking=True) for tensor in self.tensors)
        counted = None if self.counted is None else self.counted.to(device, non_blocking=True)
        return self._replace(tensors=moved, counted=counted)


def get_batch(
    dataset: NDArray[np.integer],
    batch_size: int,
    context_length: int,
    device: str | torch.device = "cpu",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Sequences from uniformly random places, and the same shifted by one: two LongTensors (batch_size, context_length).

    `dataset` may be memory-mapped: only the sequences are read. Valid starts are 0 .. len(dataset) - context_length - 1.
    """
    starts = torch.randint(len(dataset) - context_length, (batch_size,), generator=generator).numpy()
    ids = read_windows(dataset, starts, context_length + 1).to(device)
    return ids[:, :-1], ids[:, 1:]


def read_windows(dataset: NDArray[np.integer], starts: NDArray[np.int64], length: int) -> Tensor:
    """`length` ids from each start: a LongTensor (starts, length)."""
    ids = np.empty((len(starts), length), dtype=np.int64)
    for row, start in zip(ids, starts, strict=True):
        row[:] = dataset[start : start + length]
    return torch.from_numpy(ids)
