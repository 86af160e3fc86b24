"""Looking into a model while it computes a step: norms by layer, and where numbers stop being finite."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from stages.lm.training.batches import Batch
from stages.lm.training.learner import Learner
from stages.lm.training.sharding import whole


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """The parts of a model that have weights, by name: its children, in place of lists of modules the members of these, and in
    place of what holds such lists what is in it."""
    found: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        if isinstance(child, nn.ModuleList):
            found |= {f"{name}.{index}": member for index, member in enumerate(child)}
        elif any(isinstance(inner, nn.ModuleList) for inner in child.modules()):
            found |= {f"{name}.{inner}": layer for inner, layer in layers(child).items()}
        else:
            found[name] = child
    return {name: layer for name, layer in found.items() if any(True for _ in layer.parameters())}


def norms(learner: Learner, batch: Batch) -> dict[str, dict[str, float]]:
    """Root mean squares by layer of activations (over all examples), weights and gradients, at one batch.

    An output layer whose logits are never held at once has no activations. The learner keeps its weights; its gradients are
    those of the batch afterwards, unclipped.
    """
    squares: dict[str, list[Tensor]] = {}

    def keep(name: str, output: Tensor) -> None:
        squares.setdefault(name, []).append(_squares([output]))

    with outputs_of(layers(learner.model), keep):
        learner.gradient(batch)
    weights: dict[str, float] = {}
    gradients: dict[str, float] = {}
    for name, layer in layers(learner.model).items():
        parameters = [parameter for parameter in layer.parameters() if parameter.grad is not None]
        if parameters:
            weights[name] = _root_mean(_squares(parameters))
            gradients[name] = _root_mean(_squares([parameter.grad for parameter in parameters if parameter.grad is not None]))
    ranks = learner.ranks
    activations = {name: _root_mean(ranks.sum(torch.stack(parts).sum(dim=0))) for name, parts in squares.items()}
    return {"activations": activations, "weights": weights, "gradients": gradients}


def first_not_finite(learner: Learner, batch: Batch) -> str | None:
    """The first module of a step whose output, or else in backward order the first whose gradient, is not finite.

    Looked for among all modules, the innermost first; None where everything is finite.
    """
    faults: list[str] = []
    inner = {name: module for name, module in learner.model.named_modules() if name}

    def check(name: str, output: Tensor) -> None:
        if not torch.isfinite(output).all():
            faults.append(f"the output of {name}")
        if output.requires_grad:
            look: Callable[[Tensor], None] = partial(check_gradient, f"the gradient at the output of {name}")
            output.register_hook(look)  # type: ignore[no-untyped-call]

    def check_gradient(what: str, gradient: Tensor) -> None:
        if not torch.isfinite(gradient).all():
            faults.append(what)

    with outputs_of(inner, check):
        learner.gradient(batch)
    for name, parameter in learner.model.named_parameters():
        if parameter.grad is not None:
            check_gradient(f"the gradient of {name}", whole(parameter.grad))
    return faults[0] if faults else None


@contextmanager
def outputs_of(modules: dict[str, nn.Module], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Within the block `see` is shown every tensor that one of the modules puts out, under the module's name."""

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def show(_: nn.Module, __: Any, output: Any) -> None:
            for tensor in output if isinstance(output, tuple) else (output,):
                if isinstance(tensor, Tensor) and tensor.is_floating_point():
                    see(name, tensor)

        return show

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _squares(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of the squares of all numbers in some tensors, and how many there are: (2)."""
    total = torch.stack([whole(tensor.detach().float().square().sum()) for tensor in tensors]).sum()
    return torch.stack((total, total.new_tensor(sum(tensor.numel() for tensor in tensors))))


def _root_mean(squares: Tensor) -> float:
    return float((squares[0] / squares[1]).sqrt())
