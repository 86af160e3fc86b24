"""Muon (Jordan et al. 2024): momentum made orthogonal, for the matrices inside the blocks; AdamW for all else.

The step of a matrix has all singular values near 1, so that rare directions of the gradient are learned as fast as common ones.
Its length is brought to that of an AdamW step (Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2), so that one
learning rate and one weight decay serve both, but for embeddings.
"""

from typing import Any

import torch
from torch import Tensor

from stages.lm.training.optimizer import AdamW
from stages.lm.training.sharding import like, whole

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration: they push every singular value in (0, 1] to between 0.7 and 1.2 in five rounds."""
ROUNDS = 5
EMBEDDINGS = 10
"""So many times the learning rate for the embeddings of a model with an output layer of its own: they are drawn with a standard
deviation of 1, where that of matrices is a tenth or less."""


class Muon(AdamW):
    """Parameter groups with `orthogonal: True` take Muon's step, the others AdamW's, and a longer one with `input: True`."""

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient = parameter.grad
        if gradient is None or not group.get("orthogonal", False):
            super()._update(parameter, group | {"lr": group["lr"] * (EMBEDDINGS if group.get("input") else 1)})
            return
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        ahead = torch.lerp(gradient, momentum, MOMENTUM)  # Nesterov's look ahead
        length = 0.2 * max(parameter.shape) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        # Of a matrix in shards each rank makes the whole step and takes its part.
        parameter.add_(like(orthogonalized(whole(ahead)), parameter), alpha=-group["lr"] * length)


def orthogonalized(matrix: Tensor) -> Tensor:
    """About the nearest matrix (rows, columns) with orthonormal rows or columns: U V^T of the singular value decomposition."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix.shape[0] <= matrix.shape[1]
    x: Tensor = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(ROUNDS):
        square = x @ x.T  # (rows, rows)
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else x.T
