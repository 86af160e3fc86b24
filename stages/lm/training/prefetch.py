"""Batches prepared in a thread while the model computes: reading them from the disk then costs a step nothing."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from stages.lm.training.batches import Batch
from stages.lm.training.data import Data

AHEAD = 2
"""Batches that are prepared before they are asked for."""


def prefetched(data: Data, first: int, stop: int, device: torch.device) -> Iterator[Batch]:
    """The batches of the steps `first` to `stop` - 1; for a GPU in pinned memory, from which copies need not be waited for."""

    def prepare(step: int) -> Batch:
        batch = data.batch(step)
        return batch.pinned() if device.type == "cuda" else batch

    with ThreadPoolExecutor(1, "batches") as thread:
        waiting = deque(thread.submit(prepare, step) for step in range(first, min(first + AHEAD, stop)))
        for step in range(first + AHEAD, stop + AHEAD):
            batch = waiting.popleft().result()
            if step < stop:
                waiting.append(thread.submit(prepare, step))
            yield batch
