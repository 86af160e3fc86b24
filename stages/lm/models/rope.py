"""Rotary position embedding (Su et al. 2021, "RoFormer", section 3.4), in the interleaved layout of the paper."""

import torch
from torch import Tensor, nn

from stages.lm.models.kernels import REFERENCE, Kernels


class RotaryEmbedding(nn.Module):
    """Turns the pair (x[2k], x[2k + 1]) at position p by the angle p / theta^(2k / d_k), k = 0 .. d_k / 2 - 1.

    The inner product of a turned query and a turned key then depends on the distance of their positions alone.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        theta: float,
        d_k: int,
        max_seq_len: int,
        device: torch.device | None = None,
        kernels: Kernels = REFERENCE,
    ) -> None:
        super().__init__()
        self.kernels = kernels
        frequency = theta ** (-torch.arange(0, d_k, 2, device=device, dtype=torch.float64) / d_k)  # (d_k / 2)
        angle = torch.arange(max_seq_len, device=device, dtype=torch.float64)[:, None] * frequency  # (max_seq_len, d_k / 2)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        """x: (..., sequence, d_k); token_positions: integers that broadcast to (..., sequence)."""
        return self.kernels.rotate_pairs(x, self.cos[token_positions], self.sin[token_positions])
