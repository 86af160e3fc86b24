"""What the settings of a training leave to the machine (`auto`), chosen when the run begins.

Both choices change the result by rounding, as another device does. The run remembers them (`training/job.py`), so that one that
was stopped ends with the bytes of one that was not, wherever it goes on.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from stages.lm.accounting import compiling
from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.fits import fitting
from stages.lm.accounting.free_memory import spare_memory
from stages.lm.accounting.settings import EstimateSettings, SpreadSettings
from stages.lm.accounting.sizes import shown
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
        share = shared(job).spread.share_of(job.settings.training.batch_size)
        settings = job.settings.with_training(chosen | {"batch_size": share})
        mean = Lengths.of(pairs) if pairs else None
        chosen["compile"] = job.ranks.from_first(lambda: compiling.pays(settings, job.source.vocab_size, mean))
    return chosen


def shared(job: Job) -> EstimateSettings:
    """The job with the processes that share it."""
    spread = SpreadSettings(processes=job.ranks.count, engine=job.engine)
    return EstimateSettings(model=job.settings.model, training=job.settings.training, spread=spread)


def micro_batch(job: Job, lengths: Lengths | None) -> int:
    """How many sequences at once fit, by the estimate, into what is free on every rank. Raises UserError where not one does."""
    limit = min(job.ranks.everyones(spare_memory(job.settings.training)))
    settings = shared(job)
    size = job.ranks.from_first(lambda: apart(job.ranks.count > 1, fitting, settings, job.source.vocab_size, limit, lengths))
    share = settings.spread.share_of(job.settings.training.batch_size)
    log.info("micro_batch_size: %d of %d sequences at once, by the estimate for %s of free memory", size, share, shown(limit))
    return size


def apart(is_needed: bool, function: Callable[..., int], *arguments: Any) -> int:
    """Call a function, in a process of its own where that is needed: FSDP is rehearsed in a group of processes that are not
    there, which one in a group of real ones cannot join."""
    if not is_needed:
        return function(*arguments)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
