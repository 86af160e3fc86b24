"""From settings and tokens to a trained model, whichever way its family is trained."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from stages.lm.models import registry
from stages.lm.models.interface import CountingModel, LanguageModel
from stages.lm.models.settings import TransformerSettings
from stages.lm.tokens import TokenArray
from stages.lm.training import machine
from stages.lm.training.batches import WindowSampler, validation_set
from stages.lm.training.loop import Learner, Run
from stages.lm.training.metrics import METRICS, TIMING
from stages.lm.training.settings import TrainSettings
from stages.lm.training.state import StateFolder
from stages.lm.training.tracking import Tracker


@dataclass
class Fitted:
    """A trained model, the logs of its training, and its numbers: those that the seed determines, and those of the clock."""

    model: LanguageModel
    logs: dict[str, str]
    stats: dict[str, Any]
    timing: dict[str, Any]


def fit(
    settings: TrainSettings,
    vocab_size: int,
    splits: Mapping[str, TokenArray],
    state: StateFolder,
    tracker: Tracker,
    checkpoint_seconds: float,
) -> Fitted:
    """Train the model that `settings` describe on the split `train`, watching the split `valid`."""
    if isinstance(settings.model, TransformerSettings):
        return _descend(settings, settings.model.context_length, vocab_size, splits, state, tracker, checkpoint_seconds)
    return _count(settings, vocab_size, splits["train"])


def _count(settings: TrainSettings, vocab_size: int, train: TokenArray) -> Fitted:
    before, began = machine.memory_in_use(), time.perf_counter()
    model = registry.build(settings.model, vocab_size, settings.training.seed)
    cast(CountingModel, model).fit(train)
    seconds = time.perf_counter() - began
    tokens = len(train.ids)
    stats = {"family": settings.model.family, "parameters": model.num_parameters(), "tokens": tokens}
    return Fitted(model, {METRICS: "", TIMING: ""}, stats, _timing(seconds, tokens, before, machine.peak_memory()))


def _descend(
    settings: TrainSettings,
    context_length: int,
    vocab_size: int,
    splits: Mapping[str, TokenArray],
    state: StateFolder,
    tracker: Tracker,
    checkpoint_seconds: float,
) -> Fitted:
    training = settings.training
    sampler = WindowSampler(splits["train"].ids, context_length, training.batch_size, training.seed)
    validation = validation_set(splits["valid"], context_length, training.validation_windows)
    device = machine.prepare(training)
    before = machine.memory_in_use(device)
    model = registry.build(settings.model, vocab_size, training.seed)
    run = Run(Learner(cast(nn.Module, model), training, device), sampler, validation, state, tracker, checkpoint_seconds)
    run.train()

    records = run.log.records(METRICS)
    tokens = training.steps * run.tokens_per_step
    stats = {
        "family": settings.model.family,
        "parameters": model.num_parameters(),
        "tokens": tokens,
        "steps": training.steps,
        "epochs": tokens / len(splits["train"].ids),
        "loss": [record["loss"] for record in records if "loss" in record][-1],
        "validation_loss": [record["validation_loss"] for record in records if "validation_loss" in record][-1],
    }
    return Fitted(model, run.log.texts(), stats, _timing(run.done.seconds, tokens, before, machine.peak_memory(device)))


def _timing(seconds: float, tokens: int, before: int, peak: int) -> dict[str, Any]:
    """The clock's numbers; the training's memory is what the peak added to the memory in use `before` the model was built."""
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "peak_memory_bytes": peak,
        "training_memory_bytes": max(0, peak - before),
    }
