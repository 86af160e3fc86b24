"""The kernels of attention on a GPU against the definition, computed in float64 on the CPU."""

import pytest
import torch
from torch import Tensor

from stages.lm.models.attention import flash, flex, fused, reference
from stages.lm.models.attention.pattern import Segments
from tests.lm.models.attention.test_kernels import PATTERNS

KERNELS = {"auto": fused.attention, "sdpa": fused.sdpa, "flash": flash.attention, "flex": flex.attention}


def inputs(length: int, d_head: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)
    return [torch.randn(2, 4, length, d_head, dtype=torch.float64, generator=generator) for _ in range(3)]


def forward_and_backward(kernel: object, tensors: list[Tensor], *arguments: object) -> list[Tensor]:
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    result = kernel(*leaves, *arguments)  # type: ignore[operator]
    weight = torch.linspace(-1, 1, result.numel(), dtype=torch.float64).view_as(result).to(result)
    return [result, *torch.autograd.grad((result * weight).sum(), leaves)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=["fp32", "bf16"])
@pytest.mark.parametrize("apart", [False, True], ids=["one text", "documents"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_agree_with_the_definition(kernel: str, pattern: str, apart: bool, dtype: torch.dtype, tolerance: float) -> None:
    tensors = [tensor.to(dtype).double() for tensor in inputs(200, 32)]
    document = torch.arange(200).expand(2, -1) // 70
    segments = Segments.of(document) if apart else None
    expected = forward_and_backward(reference.attention, tensors, PATTERNS[pattern], segments)
    here = Segments.of(document.cuda()) if apart else None
    on_gpu = [tensor.to("cuda", dtype) for tensor in tensors]
    for found, right in zip(forward_and_backward(KERNELS[kernel], on_gpu, PATTERNS[pattern], here), expected, strict=True):
        assert (found.cpu().double() - right).norm() < tolerance * right.norm()
