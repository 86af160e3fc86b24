"""Everything that is known about a run before it starts, in one structure."""

import logging
from typing import Any

from stages.lm.accounting import calibration
from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.memory import training_memory
from stages.lm.accounting.parameters import parameters
from stages.lm.models.settings import NgramSettings
from stages.lm.tokens import TokenArray
from stages.lm.training.settings import TrainSettings

log = logging.getLogger("stagecraft")


def estimate(settings: TrainSettings, vocab_size: int, train: TokenArray) -> dict[str, Any]:
    """Parameters, FLOPs, memory by component, and the time that a short calibration promises."""
    counting = isinstance(settings.model, NgramSettings)
    counted = parameters(settings.model, vocab_size, len(train.ids))
    tokens = len(train.ids) if counting else settings.training.steps * tokens_per_step(settings)
    forward = forward_flops_per_token(settings.model, vocab_size)
    memory = training_memory(settings.model, settings.training, counted["total"], vocab_size, len(train.ids))
    measured = calibrate(settings, vocab_size, train, memory["total"])
    speed = measured.get("tokens_per_second")
    peak = measured.get("matmul_flops_per_second")
    return {
        "family": settings.model.family,
        "tokens": tokens,
        "parameters": counted,
        "flops": {"forward_per_token": forward, "training_total": training_flops(forward, tokens)},
        "memory_bytes": memory,
        "time": {"tokens_per_second": speed, "seconds": tokens / speed if speed else None},
        "calibration": measured | ({"matmul_utilisation": training_flops(forward, 1) * speed / peak} if speed and peak else {}),
    }


def tokens_per_step(settings: TrainSettings) -> int:
    """Tokens that one optimizer step sees; 0 for families without steps."""
    if isinstance(settings.model, NgramSettings):
        return 0
    return settings.training.batch_size * settings.model.context_length


def calibrate(settings: TrainSettings, vocab_size: int, train: TokenArray, memory: int) -> dict[str, Any]:
    """What a few steps take here; nothing where the run would not fit into this machine's memory."""
    if isinstance(settings.model, NgramSettings):
        return calibration.calibrate_counting(settings.model, vocab_size, train)
    if memory > calibration.physical_memory():
        log.warning(
            "no calibration: the run needs %.1f GB, and this machine has %.1f", memory / 1e9, calibration.physical_memory() / 1e9
        )
        return {}
    return calibration.calibrate_steps(settings.model, settings.training, vocab_size)
