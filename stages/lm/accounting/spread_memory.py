"""The memory that each of several devices takes at the peak of a training that they do together; `training.engines` says how.

ddp: each holds everything, and the buckets in which gradients are exchanged stay from step to step. Of two processes that
exchange by gloo the peak is met within 1 %, or exceeded by the gradients once more, as DDP makes its buckets anew after the first
step.

fsdp: torch's own code is rehearsed as one of so many processes, which are not there. So what it puts together, keeps, copies and
sends is counted where it does so. Two processes that exchange by gloo meet the peak where activations or logits make it, unless
gloo's threads let go of what was sent too late (`tests/lm/accounting/ranks.py` measures it). Where the end of a backward pass
makes it, as in small batches, micro-batches or where blocks are computed again, they take more, as much as one to four blocks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist

from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.memory import in_order, rehearsed, training_memory
from stages.lm.accounting.parameters import parameters
from stages.lm.accounting.settings import EstimateSettings
from stages.lm.training.distributed import Ranks

FLOAT32 = 4


def memory_of_each(
    settings: EstimateSettings, vocab_size: int, tokens: int = 0, lengths: Lengths | None = None
) -> dict[str, int]:
    """Bytes by component on each device of those that the settings say, which divide the batch, and their `total`; as
    `training_memory` of one."""
    model, spread = settings.model, settings.spread
    training = settings.with_training({"batch_size": spread.share_of(settings.training.batch_size)}).training
    if spread.processes == 1:
        return training_memory(model, training, vocab_size, tokens, lengths)
    if spread.engine == "ddp":
        weights = FLOAT32 * parameters(model, vocab_size, 0)["total"]
        return in_order(rehearsed(model, training, vocab_size, lengths).peak(without="gradients") | {"gradients": weights})
    with pretended(spread.processes) as ranks:
        return in_order(rehearsed(model, training, vocab_size, lengths, ranks, spread.engine).peak())


class Pretended(Ranks):
    """One of several processes that are not there, and not the first, which copies the whole model into its machine's memory."""

    def __init__(self, count: int) -> None:
        super().__init__(1, count)
        self.row = super().mesh("cpu")  # made by real numbers

    def mesh(self, device_type: str) -> Any:  # noqa: ARG002, all is rehearsed on the CPU
        return self.row


@contextmanager
def pretended(count: int) -> Iterator[Ranks]:
    """This process as one of so many, by torch's process group that sends nothing."""
    import torch.distributed._tools.fake_collectives  # noqa: F401, what collectives do to fake tensors
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=count)
    try:
        yield Pretended(count)
    finally:
        dist.destroy_process_group()
