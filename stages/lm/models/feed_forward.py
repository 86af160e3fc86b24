"""Feed-forward networks: the plain one of Vaswani et al. 2017, section 3.3, and the gated ones of Shazeer 2020.

Activations: ReLU; GELU (Hendrycks and Gimpel 2016); SiLU, also called Swish (Ramachandran et al. 2017).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from stages.lm.models.kernels import REFERENCE, Kernels
from stages.lm.models.layers import Linear

Activation = Literal["relu", "gelu", "silu"]


class FeedForward(nn.Module):
    """W2 activation(W1 x)."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        kernels: Kernels = REFERENCE,
        *,
        activation: Activation = "relu",
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.activation = kernels.activation(activation)
        self.w1 = Linear(d_model, d_ff, device, dtype, bias=bias)
        self.w2 = Linear(d_ff, d_model, device, dtype, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(self.activation(self.w1(x)))  # type: ignore[no-any-return]


class GatedFeedForward(FeedForward):
    """W2 (activation(W1 x) * W3 x): the inner layer is gated."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        kernels: Kernels = REFERENCE,
        *,
        activation: Activation = "silu",
        bias: bool = False,
    ) -> None:
        super().__init__(d_model, d_ff, device, dtype, kernels, activation=activation, bias=bias)
        self.w3 = Linear(d_model, d_ff, device, dtype, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gated = self.activation(self.w1(x)) * self.w3(x)  # (..., d_ff)
        return self.w2(gated)  # type: ignore[no-any-return]


class SwiGLU(GatedFeedForward):
    """W2 (SiLU(W1 x) * W3 x)."""


def build_feed_forward(kind: str, d_model: int, d_ff: int, bias: bool, kernels: Kernels) -> FeedForward:
    """The network that a config calls by this name (`block_settings.FeedForwardKind`)."""
    match kind:
        case "swiglu":
            return SwiGLU(d_model, d_ff, kernels=kernels, bias=bias)
        case "geglu":
            return GatedFeedForward(d_model, d_ff, kernels=kernels, activation="gelu", bias=bias)
        case "relu" | "gelu" | "silu":
            return FeedForward(d_model, d_ff, kernels=kernels, activation=kind, bias=bias)
    raise ValueError(f"no feed-forward network is called {kind!r}")
