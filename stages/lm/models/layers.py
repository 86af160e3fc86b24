"""The elementary layers; of torch.nn only Parameter and Module are used.

Initialisation: truncated normal, for linear layers with the variance of Glorot and Bengio 2010.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Module):
    """y = W x (+ b); W is (out_features, in_features), drawn from N(0, 2 / (in + out)) cut at 3 sigma, b starts at 0."""

    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        sigma = (2 / (in_features + out_features)) ** 0.5
        nn.init.trunc_normal_(self.weight, std=sigma, a=-3 * sigma, b=3 * sigma)
        self.register_parameter("bias", nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight.T  # (..., in) -> (..., out)
        return y if self.bias is None else y + self.bias


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


class Dropout(nn.Module):
    """While training, zero each number with probability p and scale the others by 1 / (1 - p) (Srivastava et al. 2014).

    Its random numbers come from torch's global generator.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training) if self.p else x
