"""Norms over the last dimension. RMSNorm: Zhang and Sennrich 2019; LayerNorm: Ba et al. 2016."""

import torch
from torch import Tensor, nn

from stages.lm.models.kernels import REFERENCE, Kernels


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight; the weight starts at 1."""

    def __init__(
        self,
        d_model: int,
        eps: float = 1e-5,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        kernels: Kernels = REFERENCE,
    ) -> None:
        super().__init__()
        self.eps, self.kernels = eps, kernels
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.kernels.rms_norm(x, self.weight, self.eps)


class LayerNorm(nn.Module):
    """(x - mean(x)) / sqrt(variance(x) + eps) * weight + bias; the weight starts at 1, the bias at 0."""

    def __init__(
        self,
        d_model: int,
        eps: float = 1e-5,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        kernels: Kernels = REFERENCE,
    ) -> None:
        super().__init__()
        self.eps, self.kernels = eps, kernels
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(d_model, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.kernels.layer_norm(x, self.weight, self.bias, self.eps)


NORMS = {"rms": RMSNorm, "layer": LayerNorm}
