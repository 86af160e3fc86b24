"""From settings and tokens to a trained model, whichever way its family is trained."""

import time
from dataclasses import dataclass
from typing import Any, cast

from stages.lm.models import registry
from stages.lm.models.interface import CountingModel, LanguageModel
from stages.lm.training import machine
from stages.lm.training.data import check_kind
from stages.lm.training.job import Job
from stages.lm.training.metrics import METRICS, TIMING


@dataclass
class Fitted:
    """A trained model, the logs of its training, and its numbers: those that the seed determines, and those of the clock."""

    model: LanguageModel
    logs: dict[str, str]
    stats: dict[str, Any]
    timing: dict[str, Any]


def fit(job: Job) -> Fitted:
    """Train the model that the settings describe on the split `train`, watching the split `valid`."""
    check_kind(job.settings.model.family, job.settings.model.task, job.source.split("train"))
    return (_descend if job.settings.model.trained_by == "gradient" else _count)(job)


def _count(job: Job) -> Fitted:
    settings, train = job.settings, job.source.split("train")
    before, began = machine.memory_in_use(), time.perf_counter()
    model = registry.build(settings.model, job.source.vocab_size, settings.training.seed)
    cast(CountingModel, model).fit(train)
    seconds = time.perf_counter() - began
    tokens = len(train.ids)
    stats = {"family": settings.model.family, "parameters": model.num_parameters(), "tokens": tokens}
    return Fitted(model, {METRICS: "", TIMING: ""}, stats, _timing(seconds, tokens, before, machine.peak_memory()))


def _descend(job: Job) -> Fitted:
    settings = job.settings
    device = machine.prepare(settings.training)
    before = machine.memory_in_use(device)
    run = job.run()
    run.train()

    model, records = cast(LanguageModel, run.learner.engine.whole_model()), run.log.records(METRICS)
    stats = {
        "family": settings.model.family,
        "parameters": model.num_parameters(),
        "tokens": run.done.tokens,
        "steps": run.done.step,
        "epochs": run.done.tokens / len(job.source.split("train").ids),
        "loss": [record["loss"] for record in records if "loss" in record][-1],
        "validation_loss": [record["validation_loss"] for record in records if "validation_loss" in record][-1],
        "best_validation_loss": run.done.best_validation_loss,
        **({"chosen": job.chosen} if job.chosen else {}),
        **({"start": job.start} if job.start else {}),
    }
    peak, processes = machine.peak_memory(device), job.ranks.count
    return Fitted(model, run.log.texts(), stats, _timing(run.done.seconds, run.done.tokens, before, peak, processes))


def _timing(seconds: float, tokens: int, before: int, peak: int, processes: int = 1) -> dict[str, Any]:
    """The clock's numbers; the training's memory is what the peak added to the memory in use `before` the model was built.

    Memory is that of the first of the `processes`.
    """
    return {
        "processes": processes,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "peak_memory_bytes": peak,
        "training_memory_bytes": max(0, peak - before),
    }
