"""The weights of linear layers as 8-bit integers: half the bytes of bf16 are read for a token, on a CPU.

Of each row of W the largest number becomes 127, and the others are rounded to as many steps: W = diag(scale) integers. Inputs and
sums stay what they are (weight-only; the absmax quantisation of Dettmers et al. 2022, section 2, by row).
"""

import torch
from torch import Tensor, nn

from stages.lm.models.layers import Linear

FEW, UNIT = 16, 16
"""Up to FEW inputs at once it is faster to multiply by the integers as they lie in memory than to make bf16 of them first. The
kernel for that takes UNIT numbers of a row at a time, and would read beyond the end of one that is no multiple."""


class Int8Linear(nn.Module):
    """y = scale * (integers x) (+ b), nearly what a linear layer computes: (..., in) to (..., out), in bf16."""

    integers: Tensor

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        rows = linear.weight.detach().float()  # (out, in)
        scale = (rows.abs().amax(dim=1) / 127).clamp(min=1e-30).bfloat16()
        self.scale = nn.Parameter(scale, requires_grad=False)  # (out)
        self.register_buffer("integers", (rows / scale[:, None]).round().clamp(-127, 127).to(torch.int8))
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).contiguous()  # (..., in) -> (rows, in)
        if len(rows) <= FEW and rows.shape[1] % UNIT == 0:
            y = torch._weight_int8pack_mm(rows, self.integers, self.scale)  # (rows, out)
        else:
            y = (rows @ self.integers.to(x.dtype).T) * self.scale
        y = y.view(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias
