"""Gradient clipping by global norm (Pascanu et al. 2013, "On the difficulty of training recurrent neural networks")."""

from collections.abc import Iterable

import torch
from torch import Tensor

from stages.lm.training.sharding import whole


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], max_norm: float, eps: float = 1e-6) -> Tensor:
    """Scale all gradients in place by max_norm / (norm + eps) if their joint L2 norm exceeds `max_norm`.

    Parameters without a gradient are skipped. Returns the norm before clipping, a scalar.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.tensor(0.0)
    norm = whole(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])))
    if norm.device.type != "cpu" or norm > max_norm:  # to ask a GPU would be to wait for it
        factor = torch.where(norm > max_norm, max_norm / (norm + eps), 1.0)
        for gradient in gradients:
            gradient.mul_(factor)
    return norm
