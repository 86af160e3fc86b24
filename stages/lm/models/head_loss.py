"""The output layer and the cross-entropy in one, for large vocabularies: only a slice of the logits exists at any time.

Logits are the largest tensor of a small model's training: batch x length x vocabulary, once more for their gradient. But as the
loss is a sum over positions, and where training ends, the gradient of a slice is known as soon as its logits are: softmax minus
one at the target. So each slice gives its loss and its share of the gradients, and is dropped. The idea is that of Wijmans et al.
2025, "Cut Your Losses in Large-Vocabulary Language Models", without its kernels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LOGITS_PER_SLICE = {"cpu": 2**24, "cuda": 2**27}
"""By type of device: with more slices, adding up what each gives to the weights' gradient takes longer than what it saves."""


def slice_rows(vocab_size: int, device: str) -> int:
    """The positions whose logits exist at a time on a type of device."""
    return max(1, LOGITS_PER_SLICE.get(device, LOGITS_PER_SLICE["cuda"]) // vocab_size)


class HeadLoss(nn.Module):
    """Sum of -ln softmax(weight @ features)[target], in nats; a module, though without weights, so that hooks can see it."""

    def forward(self, features: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        """features: (..., d_model); weight: (vocab_size, d_model); targets: LongTensor (...).

        Products are computed in the type of autocast, where it is on; softmax and sums at least in float32.
        """
        return _HeadLoss.apply(features.flatten(0, -2), weight, targets.flatten())  # type: ignore[no-any-return, no-untyped-call]


def _eager(features: Tensor, matrix: Tensor, targets: Tensor, wide: torch.dtype) -> tuple[Tensor, Callable[[], Tensor]]:
    """The loss of a slice, and what computes its gradient with respect to the logits (rows, vocab), in the type of `matrix`.

    features: (rows, d_model); matrix: (vocab, d_model); targets: (rows, 1); wide: the type in which both are computed.
    """
    log_probs = torch.log_softmax(features @ matrix.T, dim=-1, dtype=wide)
    loss = -log_probs.gather(1, targets).sum()
    return loss, lambda: log_probs.exp_().scatter_add_(1, targets, -torch.ones_like(targets, dtype=wide)).to(matrix.dtype)


def _fused(features: Tensor, matrix: Tensor, targets: Tensor, wide: torch.dtype) -> tuple[Tensor, Callable[[], Tensor]]:
    """The same for a compiler: nothing is scattered, so that it reads and writes the logits in their own type alone."""
    logits = features @ matrix.T
    log_sum = logits.to(wide).logsumexp(dim=-1, keepdim=True)
    is_target = torch.arange(len(matrix), device=logits.device) == targets
    loss = (log_sum - logits.gather(1, targets)).sum()
    return loss, lambda: (torch.exp(logits.to(wide) - log_sum) - is_target.to(wide)).to(matrix.dtype)


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        device = features.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype
        wide = torch.promote_types(weight.dtype, torch.float32)
        rows = slice_rows(len(weight), device)
        learns = any(ctx.needs_input_grad)
        matrix = weight.to(dtype)
        loss_and_gradient = _fused if torch.compiler.is_compiling() else _eager
        total = torch.zeros((), device=features.device, dtype=wide)
        to_features: list[Tensor] = []
        to_weight = torch.zeros_like(weight, dtype=wide) if learns else None
        with torch.autocast(device, enabled=False):
            for part, target in zip(torch.split(features, rows), torch.split(targets[:, None], rows), strict=True):
                part = part.to(dtype)
                loss, gradient = loss_and_gradient(part, matrix, target, wide)
                total = total + loss
                if to_weight is not None:
                    error = gradient()
                    to_features.append((error @ matrix).to(features.dtype))
                    # In place, but for compilers, of which some would save the zeros
                    to_weight = torch.add(to_weight, error.T @ part, out=None if torch.compiler.is_compiling() else to_weight)
                    del error, gradient
        ctx.save_for_backward(torch.cat(to_features) if learns else None, to_weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, None]:
        to_features, to_weight = ctx.saved_tensors
        return to_features * scale, to_weight * scale, None
