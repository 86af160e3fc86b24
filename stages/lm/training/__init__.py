"""Training by gradient descent: losses, optimizers, schedules, batches, checkpoints, and the loop."""

from importlib import import_module
from typing import Any

_EXPORTS = {
    "AdamW": "optimizer",
    "clip_gradients": "clipping",
    "cosine_schedule": "schedule",
    "cross_entropy": "loss",
    "get_batch": "batches",
    "load_checkpoint": "checkpoint",
    "save_checkpoint": "checkpoint",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
