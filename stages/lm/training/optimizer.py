"""AdamW (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization") and what it decays."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stages.lm.models.layers import Embedding, Linear
from stages.lm.training.settings import TrainingSettings

OUTPUT_LAYER = "lm_head"

LINEAR = (Linear, nn.Linear)
"""Ours, and what models of others are made of."""


class AdamW(torch.optim.Optimizer):
    """The algorithm from its definition, one parameter after the other; torch.optim.AdamW is its fast twin.

    For t = 1, 2, ...: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; a_t = a sqrt(1 - b2^t) / (1 - b1^t);
    theta -= a_t m / (sqrt(v) + eps); theta -= a lambda theta.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step from the gradients in `.grad`; parameters without one are left alone."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        lr, (beta1, beta2), gradient = group["lr"], group["betas"], parameter.grad
        state = self.state[parameter]
        if not state:
            state |= {"t": 0, "m": torch.zeros_like(parameter), "v": torch.zeros_like(parameter)}
        state["t"] += 1
        t, m, v = state["t"], state["m"], state["v"]
        m.mul_(beta1).add_(gradient, alpha=1 - beta1)
        v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        corrected_lr = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        parameter.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-corrected_lr)
        parameter.mul_(1 - lr * group["weight_decay"])


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Every trainable parameter in one of four groups: matrices inside the model, the output layer, embeddings, and all else.

    The matrices of linear layers are decayed; what else there is, embeddings and norms, is not. An output layer tied to the
    embeddings is neither, but among all else, as are embeddings where there is no output layer beside them. For optimizers that
    know it, the group of matrices inside the model is marked `orthogonal`, and that of the embeddings `input`.
    """
    linear = {id(module.weight): name for name, module in model.named_modules() if isinstance(module, LINEAR)}
    other = {
        id(parameter)
        for module in model.modules()
        if not isinstance(module, LINEAR)
        for parameter in module.parameters(recurse=False)
    }
    tables = {id(module.weight) for module in model.modules() if isinstance(module, Embedding)} - linear.keys()
    inside: list[Tensor] = []
    head: list[Tensor] = []
    embeddings: list[Tensor] = []
    rest: list[Tensor] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            decayed = id(parameter) in linear and id(parameter) not in other
            is_head = decayed and linear[id(parameter)].rpartition(".")[2] == OUTPUT_LAYER
            undecayed = embeddings if id(parameter) in tables else rest
            group = undecayed if not decayed else head if is_head else inside
            group.append(parameter)
    if not head:  # the embeddings are what the output is computed with
        embeddings, rest = [], embeddings + rest
    groups = [
        {"params": inside, "weight_decay": weight_decay, "orthogonal": True},
        {"params": head, "weight_decay": weight_decay},
        {"params": embeddings, "weight_decay": 0.0, "input": True},
        {"params": rest, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name, over the model's parameter groups; AdamW is torch's fused one."""
    groups = parameter_groups(model, settings.weight_decay)
    if settings.optimizer == "muon":
        from stages.lm.training.muon import Muon

        return Muon(groups, settings.learning_rate, settings.betas, settings.eps)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.eps, fused=True)
