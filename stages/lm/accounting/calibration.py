"""How fast this machine trains this model, from a few real steps of the run's own shapes."""

import time
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from stages.lm.accounting import huggingface
from stages.lm.models import registry
from stages.lm.models.huggingface.settings import HuggingFaceSettings
from stages.lm.models.interface import CountingModel
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings
from stages.lm.models.settings import ModelSettings, NgramSettings
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.tokens import TokenArray
from stages.lm.training import machine
from stages.lm.training.batches import Batch
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainingSettings

SECONDS = 2.0
"""Time for measuring, after a first step that does not count."""
COUNTED_TOKENS = 200_000


def calibrate_batch(settings: ModelSettings, training: TrainingSettings, vocab_size: int, batch: Batch) -> dict[str, Any]:
    """Train a few steps on one batch: the median seconds of a step, tokens per second, and the peak of a micro-batch's matrix
    product."""
    _, *times = step_times(settings, training, vocab_size, batch)
    device = machine.prepare(training)
    seconds = float(np.median(times))
    rows = batch.tokens * training.micro_batch // training.batch_size
    return {
        "steps": len(times),
        "seconds_per_step": seconds,
        "tokens_per_second": batch.tokens / seconds,
        "matmul_flops_per_second": machine.matmul_rate((rows, *largest_matrix(settings, vocab_size)), training, device),
    }


def step_times(
    settings: ModelSettings, training: TrainingSettings, vocab_size: int, batch: Batch, seconds: float = SECONDS
) -> list[float]:
    """The seconds of a first training step, which has to start everything, of at least one more, and of others while there is
    time."""
    learner = Learner(cast(nn.Module, registry.build(settings, vocab_size, training.seed)), training, machine.prepare(training))
    times: list[float] = []
    while len(times) < 2 or sum(times[1:]) + min(times[1:]) < seconds:
        began = time.perf_counter()
        learner.step(batch, training.learning_rate).loss.item()  # waits for the device
        times.append(time.perf_counter() - began)
    return times


def is_out_of_memory(error: Exception) -> bool:
    """Whether a step ended for want of memory; torch's allocator on a CPU has no kind of error of its own."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def largest_matrix(settings: ModelSettings, vocab_size: int) -> tuple[int, int]:
    """The shape of the largest matrix inside a model that is trained by gradient descent."""
    assert not isinstance(settings, NgramSettings)
    if isinstance(settings, HuggingFaceSettings):
        return huggingface.largest_matrix(settings, vocab_size)
    d = settings.d_model
    if isinstance(settings, RecurrentSettings):
        return d, settings.gates * d
    if isinstance(settings, VectorSettings):
        return d, 1 + settings.negatives
    if isinstance(settings, RnnSeq2SeqSettings):
        return 3 * d, 3 * d
    return d, settings.feed_forward_width


def calibrate_counting(settings: NgramSettings, vocab_size: int, train: TokenArray) -> dict[str, Any]:
    """Count the first documents: tokens per second."""
    documents = max(1, int(np.searchsorted(train.offsets, COUNTED_TOKENS)) - 1)
    part = TokenArray(train.ids[: train.offsets[documents]], train.offsets[: documents + 1], train.document_bytes[:documents])
    began = time.perf_counter()
    cast(CountingModel, registry.build(settings, vocab_size, 0)).fit(part)
    return {"tokens": len(part.ids), "tokens_per_second": len(part.ids) / (time.perf_counter() - began)}
