"""The inner computations of a transformer that exist twice: by definition, and by the fused kernels of torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.models import functional
from stages.lm.models.attention.flash import attention as flash_attention
from stages.lm.models.attention.flex import attention as flex_attention
from stages.lm.models.attention.fused import attention as fused_attention
from stages.lm.models.attention.fused import sdpa as sdpa_attention
from stages.lm.models.attention.linear import Features
from stages.lm.models.attention.linear import attention as linear_attention
from stages.lm.models.attention.linear import parallel as parallel_linear_attention
from stages.lm.models.attention.pattern import Pattern, Segments
from stages.lm.models.attention.reference import attention as reference_attention

Elementwise = Callable[[Tensor], Tensor]
Attention = Callable[[Tensor, Tensor, Tensor, Pattern, Segments | None], Tensor]


@dataclass(frozen=True)
class Kernels:
    """One way to compute; all ways agree but for rounding. Shapes as in `functional` and `attention.reference`."""

    relu: Elementwise
    gelu: Elementwise
    silu: Elementwise
    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    layer_norm: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    rotate_pairs: Callable[[Tensor, Tensor, Tensor], Tensor]
    attention: Attention
    linear_attention: Callable[[Features, Features, Tensor, Pattern, Segments | None], Tensor]

    def activation(self, name: str) -> Elementwise:
        """relu, gelu or silu."""
        return cast(Elementwise, getattr(self, name))


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight.to(x.dtype), eps)


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, weight.shape, weight.to(x.dtype), bias.to(x.dtype), eps)


def _rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """A pair is a complex number, and to turn it is to multiply it by cos + i sin: one pass over memory.

    A compiler makes one pass of the definition, but knows no complex numbers.
    """
    if torch.compiler.is_compiling():
        return functional.rotate_pairs(x, cos, sin)
    pairs = torch.view_as_complex(x.to(cos.dtype).reshape(*x.shape[:-1], -1, 2))  # (..., d / 2)
    return torch.view_as_real(pairs * torch.complex(cos, sin)).flatten(-2).to(x.dtype)


REFERENCE = Kernels(
    functional.relu,
    functional.gelu,
    functional.silu,
    functional.rms_norm,
    functional.layer_norm,
    functional.rotate_pairs,
    reference_attention,
    parallel_linear_attention,
)
FAST = Kernels(F.relu, F.gelu, F.silu, _rms_norm, _layer_norm, _rotate_pairs, fused_attention, linear_attention)

ATTENTION: dict[str, Attention] = {
    "auto": fused_attention,
    "reference": reference_attention,
    "flash": flash_attention,
    "sdpa": sdpa_attention,
    "flex": flex_attention,
}


def fast(kernel: str) -> Kernels:
    """The fast kernels, with attention by the one that a config calls `kernel`."""
    linear = parallel_linear_attention if kernel == "reference" else linear_attention
    return replace(FAST, attention=ATTENTION[kernel], linear_attention=linear)
