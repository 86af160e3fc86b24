"""Linear layers in bf16 on a CPU, for as few rows at a time as decoding has.

Such a product takes the time in which memory gives the weights, but only if threads share them: torch does that where they come
first, as the matrix of a matrix-vector product or the left one of two (torch 2.13, on a processor with AMX).
"""

import torch
from torch import Tensor, nn

from stages.lm.models.layers import Linear

FEW = 64
"""With more rows than these there is work for all threads either way."""


class FewRowsLinear(nn.Module):
    """y = W x (+ b), what a linear layer computes, summed in another order: (..., in) to (..., out)."""

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (..., in) -> (rows, in)
        if len(rows) == 1:
            y = torch.mv(self.weight, rows[0])
        elif len(rows) <= FEW:
            y = (self.weight @ rows.T).T.contiguous()
        else:
            y = rows @ self.weight.T
        y = y.reshape(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias
