"""The computations of a transformer from their definitions, in elementary tensor operations.

RMSNorm: Zhang and Sennrich 2019. LayerNorm: Ba et al. 2016. GELU and SiLU: Hendrycks and Gimpel 2016. Rotary embedding: Su et
al. 2021, section 3.4. Attention: Vaswani et al. 2017, section 3.2.1. `kernels.FAST` holds a faster twin of each.
"""

import torch
from torch import Tensor


def relu(x: Tensor) -> Tensor:
    """max(x, 0), elementwise."""
    return x * (x > 0)


def gelu(x: Tensor) -> Tensor:
    """x * Phi(x), elementwise: Phi is the distribution function of the standard normal."""
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), elementwise."""
    return x * torch.sigmoid(x)


def softmax(x: Tensor, dim: int) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`; the maximum is subtracted first, so that exp cannot overflow."""
    exp = torch.exp(x - x.amax(dim=dim, keepdim=True))
    return exp / exp.sum(dim=dim, keepdim=True)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension, at least in float32; the result has the type of x."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inverse_rms = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)  # (..., 1)
    return (wide * inverse_rms * weight).to(x.dtype)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(x - mean(x)) / sqrt(variance(x) + eps) * weight + bias over the last dimension, in the types of `rms_norm`."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = wide - wide.mean(dim=-1, keepdim=True)
    inverse_deviation = torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + eps)  # (..., 1)
    return (centred * inverse_deviation * weight + bias).to(x.dtype)


def rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x[2k], x[2k + 1]) by the angle whose cosine and sine are cos[k] and sin[k].

    x: (..., d); cos, sin: (..., d / 2), broadcast over leading dimensions. Computed in their type; the result has the type of x.
    """
    even, odd = x[..., 0::2].to(cos.dtype), x[..., 1::2].to(cos.dtype)  # (..., d / 2)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)  # (..., d / 2, 2)
    return turned.flatten(-2).to(x.dtype)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d_k)) V.

    query: (..., queries, d_k); key: (..., keys, d_k); value: (..., keys, d_v); mask: boolean, broadcast to (..., queries, keys),
    True where a query may attend. Every query must be allowed at least one key. Returns (..., queries, d_v).
    """
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5  # (..., queries, keys)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return softmax(scores, dim=-1) @ value
