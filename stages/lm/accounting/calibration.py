"""How fast this machine trains this model, from a few real steps of the run's own shapes."""

import os
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from stages.lm.models import registry
from stages.lm.models.interface import CountingModel
from stages.lm.models.settings import NgramSettings, TransformerSettings
from stages.lm.tokens import TokenArray
from stages.lm.training import machine
from stages.lm.training.loop import Learner
from stages.lm.training.settings import TrainingSettings

SECONDS = 2.0
"""Time for measuring, after a first step that does not count."""
COUNTED_TOKENS = 200_000


def physical_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def calibrate_steps(settings: TransformerSettings, training: TrainingSettings, vocab_size: int) -> dict[str, Any]:
    """Train a few steps on random tokens: the median seconds of a step, tokens per second, and the matrix-product peak."""
    device = machine.prepare(training)
    model = cast(nn.Module, registry.build(settings, vocab_size, training.seed))
    learner = Learner(model, training, device)
    ids = torch.randint(vocab_size, (training.batch_size, settings.context_length + 1))
    times = _timed(lambda: learner.step(ids, training.learning_rate))
    seconds = float(np.median(times))
    return {
        "steps": len(times),
        "seconds_per_step": seconds,
        "tokens_per_second": training.batch_size * settings.context_length / seconds,
        "matmul_flops_per_second": matmul_peak(settings, training, device),
    }


def matmul_peak(settings: TransformerSettings, training: TrainingSettings, device: torch.device) -> float:
    """The rate of the model's largest matrix product, (positions, d_model) times (d_model, d_ff), in operations per second."""
    dtype = torch.bfloat16 if training.precision == "bf16" else torch.float32
    positions, d, d_ff = training.batch_size * settings.context_length, settings.d_model, settings.feed_forward_width
    x = torch.randn(positions, d, device=device, dtype=dtype)
    weight = torch.randn(d, d_ff, device=device, dtype=dtype)

    def multiply() -> None:
        product = x @ weight
        product[0, 0].item()  # waits for the device

    return 2 * positions * d * d_ff / min(_timed(multiply, SECONDS / 10))


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
