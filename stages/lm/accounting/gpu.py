"""A GPU's memory by the operations of a CPU: the same code, with the slices, the kernels and what these keep as on a GPU."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

import stages.lm.models.attention.fused as fused
from stages.lm.models.head_loss import LOGITS_PER_SLICE

HOPPER = (9, 0)
MIB = 2**20


def products_workspace() -> int:
    """What cuBLAS keeps, in bytes: torch gives it a workspace for each thread that multiplies, one forward and one back.

    It is 32 MiB from Hopper on, and where there is no GPU to ask, else 8 MiB and 128 KiB (torch's `CublasHandlePool.cpp`).
    """
    is_small = torch.cuda.is_available() and torch.cuda.get_device_capability() < HOPPER
    return 2 * (8 * MIB + MIB // 8 if is_small else 32 * MIB)


@contextmanager
def as_on_gpu(on_gpu: bool) -> Iterator[None]:
    """Let the code choose as on a GPU, where it asks for the device: larger slices of the logits, fused attention and norms."""
    with ExitStack() as stack:
        if on_gpu:
            stack.enter_context(patch.dict(LOGITS_PER_SLICE, cpu=LOGITS_PER_SLICE["cuda"]))
            stack.enter_context(patch.object(fused, "PLAIN_KEYS", 0))
            stack.enter_context(patch.object(F, "rms_norm", _rms_norm))
            stack.enter_context(patch.object(F, "dropout", _dropout))
        yield


class _RmsNorm(torch.autograd.Function):
    """Keeps what the fused kernel keeps: its input and the inverse root mean squares. It computes nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, x.new_empty((*x.shape[:-1], 1), dtype=torch.float32))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, _gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight, _ = ctx.saved_tensors
        return torch.empty_like(x), torch.empty_like(weight)


def _rms_norm(x: Tensor, _shape: Any, weight: Tensor, _eps: float) -> Tensor:
    return _RmsNorm.apply(x, weight)  # type: ignore[no-any-return, no-untyped-call]


def _dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """The kernel that keeps a mask of one byte a number."""
    return torch.native_dropout(x, p, training)[0]
