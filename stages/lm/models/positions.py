"""How a transformer knows about order: rotations inside attention, or vectors added to the token embeddings.

Rotary: Su et al. 2021, "RoFormer", section 3.4, in the interleaved layout of the paper. Sinusoidal: Vaswani et al. 2017,
section 3.5. Learned: Gehring et al. 2017, as in GPT and BERT.
"""

import torch
from torch import Tensor, nn

from stages.lm.models.kernels import REFERENCE, Kernels
from stages.lm.models.layers import Embedding


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


class SinusoidalPositions(nn.Module):
    """The vector of position p holds sin(p / 10000^(2i / d)) at 2i and cos(p / 10000^(2i / d)) at 2i + 1."""

    table: Tensor

    def __init__(self, max_seq_len: int, d_model: int, device: torch.device | None = None) -> None:
        super().__init__()
        frequency = 10000.0 ** (-torch.arange(0, d_model, 2, device=device, dtype=torch.float64) / d_model)  # (ceil(d / 2))
        angle = torch.arange(max_seq_len, device=device, dtype=torch.float64)[:, None] * frequency
        table = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)[:, :d_model]  # (max_seq_len, d_model)
        self.register_buffer("table", table.float(), persistent=False)

    def forward(self, token_positions: Tensor) -> Tensor:
        """(...) -> (..., d_model)."""
        return self.table[token_positions]


LearnedPositions = Embedding
"""A learned vector for every position: the token embedding's twin."""


def build_positions(kind: str, max_seq_len: int, d_model: int) -> nn.Module | None:
    """What is added to the token embeddings; None where order is known otherwise (`block_settings.Position`)."""
    match kind:
        case "sinusoidal":
            return SinusoidalPositions(max_seq_len, d_model)
        case "learned":
            return LearnedPositions(max_seq_len, d_model)
    return None


def positions_in_segments(segments: Tensor) -> Tensor:
    """Positions counted from the start of each run of equal segments: (..., sequence) -> (..., sequence)."""
    index = torch.arange(segments.shape[-1], device=segments.device).expand(segments.shape)
    starts = torch.zeros_like(index)
    starts[..., 1:] = torch.where(segments[..., 1:] != segments[..., :-1], index[..., 1:], 0)
    return index - starts.cummax(dim=-1).values
