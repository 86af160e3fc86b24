"""Gradient clipping by global norm (Pascanu et al. 2013, "On the difficulty of training recurrent neural networks")."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from stages.lm.training.sharding import whole


def gradient_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Their joint L2 norm, a scalar; 0 where there are none."""
    in_one_kernel = bool(gradients) and gradients[0].is_cuda
    return whole(torch.nn.utils.get_total_norm(gradients, foreach=in_one_kernel))


def gradients_of(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Those that there are."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], max_norm: float, eps: float = 1e-6) -> Tensor:
    """Scale all gradients in place by max_norm / (norm + eps) if their joint L2 norm exceeds `max_norm`.

    Parameters without a gradient are skipped. Returns the norm before clipping, a scalar.
    """
    gradients = gradients_of(parameters)
    norm = gradient_norm(gradients)
    if norm.device.type != "cpu" or norm > max_norm:  # to ask a GPU would be to wait for it
        torch._foreach_mul_(gradients, torch.where(norm > max_norm, max_norm / (norm + eps), 1.0))
    return norm
