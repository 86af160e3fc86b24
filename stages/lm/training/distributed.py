"""Several processes that train one model together: which of them this is, and what they tell each other.

torchrun starts them and says in the environment who is who. All do the same steps, each on its rows of every batch. Only the
first one, rank 0, writes, logs and shows; what goes wrong with that goes wrong on all of them.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from stages.lm.errors import Stopped, UserError
from stages.lm.training.batches import Batch
from stages.lm.training.data import Data

T = TypeVar("T")

EXPECTED = (UserError, Stopped, OSError)
"""What a stage ends with in one line; anything else is a fault of its own rank, and ends the others by its absence."""

ENDED = "the first rank has ended"
PATIENCE = timedelta(seconds=60)
"""How long the other ranks wait for the first to say what went wrong, before they end too."""


class Ranks:
    """The processes of a training, by rank; alone by default. All of them have to call what talks to the others."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def rows(self, size: int) -> slice:
        """This rank's part of `size` rows; the parts differ by at most one row."""
        return slice(self.rank * size // self.count, (self.rank + 1) * size // self.count)

    def mesh(self, device_type: str) -> Any:
        """All ranks in a row, as torch's sharding wants them."""
        from torch.distributed.device_mesh import init_device_mesh

        return init_device_mesh(device_type, (self.count,))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the ranks, in place; a GPU is not waited for."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather_rows(self, tensor: Tensor) -> Tensor:
        """The rows of all ranks, as many from each, in their order."""
        if self.count == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag whether it is up on any rank. They agree by way of the CPU: a GPU is not waited for."""
        if self.count == 1:
            return flags
        raised = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return tuple(bool(flag) for flag in raised.tolist())

    def everyones(self, value: T) -> list[T]:
        """What each rank has."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def from_first(self, get: Callable[[], T]) -> T:
        """What the first rank gets, on all."""
        with self.together():
            found = get() if self.is_first else None
        return cast(T, self.everyones(found)[0])

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that fails on all ranks if it fails on one, with its error (one that a user is to read)."""
        error: BaseException | None = None
        try:
            yield
        except EXPECTED as raised:
            if self.count == 1:
                raise
            error = raised
        if any(self.any(error is not None)):
            raise next(found for found in self.everyones(error) if found is not None)

    @contextmanager
    def only_first(self, context: AbstractContextManager[T]) -> Iterator[T | None]:
        """The context on the first rank, nothing on the others; where it cannot begin or end well, no rank can."""
        with ExitStack() as stack:
            with self.together():
                entered = stack.enter_context(context) if self.is_first else None
            yield entered
            with self.together():
                stack.close()


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that torchrun has started, this process among them; without torchrun it is alone.

    The others leave after the first: torchrun ends all as soon as one ends badly, and the first has something to say before.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "RANK" not in os.environ:
        yield ALONE
        return
    store, rank, count = next(rendezvous("env://"))
    # Tensors on a CPU go by gloo, those on a GPU by NCCL.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    patience = timedelta(days=30)
    try:
        yield Ranks(rank, count)
    except SystemExit:
        patience = PATIENCE
        raise
    except BaseException:
        patience = timedelta()
        raise
    finally:
        if rank == 0:
            store.set(ENDED, "")
        elif patience:
            with suppress(RuntimeError):  # the store is gone, or the first rank stays
                store.wait([ENDED], patience)
        if patience:
            dist.destroy_process_group()


class RowsOfRank:
    """Data of which each rank sees its rows of every batch; predictions are still those of the whole batch."""

    def __init__(self, data: Data, ranks: Ranks, batch_size: int) -> None:
        """Raises UserError unless all ranks get as many rows."""
        if batch_size % ranks.count:
            raise UserError(
                f"training.batch_size: {batch_size} cannot be divided evenly among {ranks.count} processes; "
                "choose a multiple, or another number of processes"
            )
        self.data, self.ranks, self.tokens_per_step = data, ranks, data.tokens_per_step

    def batch(self, step: int) -> Batch:
        return self._part(self.data.batch(step))

    def validation(self) -> Iterator[Batch]:
        """Batches with fewer rows than ranks are measured by every rank, and count for a share of it."""
        return map(self._part, self.data.validation())

    def _part(self, batch: Batch) -> Batch:
        size = len(batch.tensors[0])
        if size < self.ranks.count:
            return batch._replace(copies=self.ranks.count)
        rows = self.ranks.rows(size)
        counted = None if batch.counted is None else batch.counted[rows]
        return batch._replace(tensors=tuple(tensor[rows] for tensor in batch.tensors), counted=counted)


def share(data: Data, ranks: Ranks, batch_size: int) -> Data:
    """The data as this rank sees it."""
    return data if ranks.count == 1 else RowsOfRank(data, ranks, batch_size)
