"""Linear layers in bf16 on a CPU, for as few rows at a time as decoding has.

Such a product takes the time in which memory gives the weights, but only if threads share them: torch does that where they come
first, as the matrix of a matrix-vector product or the left one of two (torch 2.13, on a processor with AMX). Compiled code shares
them in any sum over them.
"""

import torch
from torch import Tensor, nn

from stages.lm.models.layers import Linear

FEW = 64
"""With more rows than these there is work for all threads either way."""
SUMMED = 4
"""Compiled code takes so many rows by a sum for each, all in one pass over the weights."""


class FewRowsLinear(nn.Module):
    """y = W x (+ b), what a linear layer computes, summed in another order: (..., in) to (..., out)."""

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (..., in) -> (rows, in)
        if torch.compiler.is_compiling() and len(rows) <= SUMMED:
            y = self.by_sums(rows)
        elif len(rows) == 1:
            y = torch.mv(self.weight, rows[0])
        elif len(rows) <= FEW:
            y = (self.weight @ rows.T).T.contiguous()
        else:
            y = rows @ self.weight.T
        y = y.reshape(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias

    def by_sums(self, rows: Tensor) -> Tensor:
        """(rows, in) to (rows, out), each row by itself, so that compiled code sums them all in one loop over the weights.

        What has strides lies in memory: so the compiler writes the inputs down in 32 bits, and converts them once.
        """
        weight, wide = self.weight.float(), rows.float()
        wide = torch.as_strided(wide, wide.shape, wide.stride())
        return torch.stack([(weight * row).sum(dim=-1) for row in wide.unbind()]).to(rows.dtype)
