"""How fast this machine trains this model, from a few real steps of the run's own shapes."""

import os
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from stages.lm.accounting import bert, vectors
from stages.lm.models import registry
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.interface import CountingModel
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.settings import ModelSettings, NgramSettings, TransformerSettings
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.tokens import TokenArray
from stages.lm.training import machine
from stages.lm.training.batches import Batch
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainingSettings

SECONDS = 2.0
"""Time for measuring, after a first step that does not count."""
COUNTED_TOKENS = 200_000


def physical_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def random_batch(settings: ModelSettings, training: TrainingSettings, vocab_size: int) -> Batch:
    """Random tokens in the shape of the run's own batches, for models of single texts."""
    if isinstance(settings, BertSettings):
        return bert.random_batch(settings, training, vocab_size)
    if isinstance(settings, VectorSettings):
        return vectors.random_batch(settings, training, vocab_size)
    assert isinstance(settings, TransformerSettings | RecurrentSettings)
    ids = torch.randint(vocab_size, (training.batch_size, settings.context_length + 1))
    return Batch((ids,), training.batch_size * settings.context_length, fresh=settings.learns_from == "streams")


def calibrate_batch(
    settings: Any, training: TrainingSettings, vocab_size: int, batch: Batch, largest: tuple[int, int]
) -> dict[str, Any]:
    """Train a few steps on one batch: the median seconds of a step, tokens per second, and the matrix-product peak.

    largest: the shape of the model's largest matrix.
    """
    device = machine.prepare(training)
    model = cast(nn.Module, registry.build(settings, vocab_size, training.seed))
    learner = Learner(model, training, device)
    times = _timed(lambda: learner.step(batch, training.learning_rate).loss.item())  # waits for the device
    seconds = float(np.median(times))
    return {
        "steps": len(times),
        "seconds_per_step": seconds,
        "tokens_per_second": batch.tokens / seconds,
        "matmul_flops_per_second": machine.matmul_rate((batch.tokens, *largest), training, device),
    }


def calibrate_counting(settings: NgramSettings, vocab_size: int, train: TokenArray) -> dict[str, Any]:
    """Count the first documents: tokens per second."""
    documents = max(1, int(np.searchsorted(train.offsets, COUNTED_TOKENS)) - 1)
    part = TokenArray(train.ids[: train.offsets[documents]], train.offsets[: documents + 1], train.document_bytes[:documents])
    began = time.perf_counter()
    cast(CountingModel, registry.build(settings, vocab_size, 0)).fit(part)
    return {"tokens": len(part.ids), "tokens_per_second": len(part.ids) / (time.perf_counter() - began)}


def _timed(work: Callable[[], object], seconds: float = SECONDS) -> list[float]:
    """The seconds of each repetition: at least one, and more while there is time; the first of all is not counted."""
    work()
    times: list[float] = []
    while not times or sum(times) + min(times) < seconds:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times
