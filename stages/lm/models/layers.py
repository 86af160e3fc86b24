"""The layers of a transformer; of torch.nn only Parameter and Module are used.

Initialisation: truncated normal, for linear layers with the variance of Glorot and Bengio 2010. SwiGLU: Shazeer 2020, "GLU
Variants Improve Transformer".
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lm.models.kernels import REFERENCE, Kernels


class Linear(nn.Module):
    """y = W x without a bias; W is (out_features, in_features), drawn from N(0, 2 / (in + out)) cut at 3 sigma."""

    def __init__(
        self, in_features: int, out_features: int, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        sigma = (2 / (in_features + out_features)) ** 0.5
        nn.init.trunc_normal_(self.weight, std=sigma, a=-3 * sigma, b=3 * sigma)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T  # (..., in) -> (..., out)


class Embedding(nn.Module):
    """A vector for each token id, drawn from N(0, 1) cut at 3 sigma."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, std=1.0, a=-3.0, b=3.0)

    def forward(self, token_ids: Tensor) -> Tensor:
        # Not weight[token_ids]: its gradient is added up by several threads in no fixed order, which no seed determines.
        return F.embedding(token_ids, self.weight)  # (...) -> (..., embedding_dim)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension; the weight starts at 1."""

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


class SwiGLU(nn.Module):
    """W2 (SiLU(W1 x) * W3 x): a feed-forward network whose inner layer is gated."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        kernels: Kernels = REFERENCE,
    ) -> None:
        super().__init__()
        self.kernels = kernels
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)
        self.w3 = Linear(d_model, d_ff, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        gated = self.kernels.silu(self.w1(x)) * self.w3(x)  # (..., d_ff)
        return self.w2(gated)  # type: ignore[no-any-return]


class SiLUFeedForward(nn.Module):
    """W2 SiLU(W1 x): the plain feed-forward network that SwiGLU is compared with."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        kernels: Kernels = REFERENCE,
    ) -> None:
        super().__init__()
        self.kernels = kernels
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(self.kernels.silu(self.w1(x)))  # type: ignore[no-any-return]
