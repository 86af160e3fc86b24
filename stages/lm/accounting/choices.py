"""What the settings of a training leave to the machine (`auto`), chosen when the run begins.

Both choices change the result by rounding, as another device does. The run remembers them (`training/job.py`), so that one that
was stopped ends with the bytes of one that was not, wherever it goes on.
"""

import logging
import math
from typing import Any

from stages.lm.accounting import compiling
from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.fits import largest
from stages.lm.accounting.free_memory import spare_memory
from stages.lm.accounting.settings import EstimateSettings, SpreadSettings
from stages.lm.accounting.sizes import shown
from stages.lm.accounting.spread_memory import memory_of_each
from stages.lm.errors import UserError
from stages.lm.tokens import PairArray
from stages.lm.training import machine
from stages.lm.training.job import Job

log = logging.getLogger("stagecraft")


def choose(job: Job) -> dict[str, Any]:
    """Values for the settings that a job leaves open. All its ranks have to ask, before they build their models."""
    machine.prepare(job.settings.training)
    train = job.source.split("train")
    pairs = train if isinstance(train, PairArray) else None
    chosen: dict[str, Any] = {}
    if "micro_batch_size" in job.settings.left_open:
        longest = Lengths.longest(pairs, job.settings.training.batch_size) if pairs else None
        chosen["micro_batch_size"] = micro_batch(job, longest)
    if "compile" in job.settings.left_open:
        settings = job.settings.with_training(chosen | {"batch_size": share_of(job)})
        mean = Lengths.of(pairs) if pairs else None
        chosen["compile"] = job.ranks.from_first(lambda: compiling.pays(settings, job.source.vocab_size, mean))
    return chosen


def share_of(job: Job) -> int:
    """The sequences of each rank."""
    return max(1, job.settings.training.batch_size // job.ranks.count)


def micro_batch(job: Job, lengths: Lengths | None) -> int:
    """How many sequences at once fit, by the estimate, into what is free on every rank: cut evenly, so that a little more or less
    memory chooses the same. Raises UserError where not even one does."""
    settings, ranks = job.settings, job.ranks
    share = share_of(job)

    spread = SpreadSettings(processes=ranks.count, engine=job.engine)

    def peak(size: int) -> int:
        tried = settings.with_training({"micro_batch_size": size})
        shared = EstimateSettings(model=tried.model, training=tried.training, spread=spread)
        return memory_of_each(shared, job.source.vocab_size, lengths=lengths)["total"]

    limit = min(ranks.everyones(spare_memory(settings.training)))
    size = largest(peak, share, limit)
    if not size:
        raise UserError(
            f"training.micro_batch_size: by the estimate even one sequence at a time needs {shown(peak(1))}, more than the "
            f"{shown(limit)} that are free; set training.activation_checkpointing, take a smaller model, or set 1 and try"
        )
    even = math.ceil(share / math.ceil(share / size))
    log.info("micro_batch_size: %d of %d sequences at once, by the estimate for %s of free memory", even, share, shown(limit))
    return even
