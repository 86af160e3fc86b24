"""torch's engines for one model on several devices, and the model alone.

ddp: every rank holds the whole model, gradients are summed while the backward pass goes on (Li et al. 2020, "PyTorch
Distributed"). fsdp: weights, gradients and optimizer are in shards, one on each rank, and a block's weights are put together
when it is its turn (Zhao et al. 2023, "PyTorch FSDP"; Rajbhandari et al. 2020, "ZeRO", stage 3).

Both take the mean of the ranks' gradients. The learner makes it the sum: it multiplies each loss by the number of ranks.
"""

import copy
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from stages.lm.training.distributed import Ranks
from stages.lm.training.sharding import whole

Engine = Literal["ddp", "fsdp"]


class Methods(nn.Module):
    """The methods of a model as a forward pass, which is what engines wrap."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, *tensors: Tensor) -> Any:
        return getattr(self.model, method)(*tensors)


class Alone:
    """One process: the model as it is."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.module = model, cast(nn.Module, Methods(model))

    def total_loss(self, *tensors: Tensor) -> Any:
        return self.module("total_loss", *tensors)

    def token_log_probs(self, ids: Tensor) -> Tensor:
        return cast(Tensor, self.module("token_log_probs", ids))

    def gradients(self, *, complete: bool) -> AbstractContextManager[object]:  # noqa: ARG002, for engines that exchange them
        """The context of a micro-batch's passes: `complete` with the last one of a step, when ranks exchange gradients."""
        return nullcontext()

    def whole_model(self) -> nn.Module:
        """The model with all its weights, for the first rank; all ranks have to ask."""
        return self.model


class Ddp(Alone):
    """The whole model on every rank."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        # Buffers are tables that every rank has computed: nothing to send before each pass.
        nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]
            self.module, [name for name, _ in self.module.named_buffers()]
        )
        self.module = self.replicated = nn.parallel.DistributedDataParallel(self.module, gradient_as_bucket_view=True)

    def gradients(self, *, complete: bool) -> AbstractContextManager[object]:
        return nullcontext() if complete else self.replicated.no_sync()


class Fsdp(Alone):
    """A shard of the model on every rank. The model's blocks are those in its lists of modules; the rest is one more unit."""

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        from torch.distributed.fsdp import fully_shard

        super().__init__(model)
        # Blocks may return views of their outputs; nobody changes these in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        self.copy = copy.deepcopy(model).cpu() if ranks.is_first else None
        mesh = ranks.mesh(next(model.parameters()).device.type)
        for block in blocks(model):
            fully_shard(block, mesh=mesh)
        self.sharded = fully_shard(self.module, mesh=mesh)

    @contextmanager
    def gradients(self, *, complete: bool) -> Iterator[None]:
        self.sharded.set_requires_gradient_sync(complete)
        yield

    @torch.no_grad()
    def whole_model(self) -> nn.Module:
        """The first rank's is a copy, in the memory of the host; the others' stays in shards."""
        kept = self.copy.state_dict() if self.copy is not None else {}
        for name, tensor in self.model.state_dict().items():
            full = whole(tensor)
            if name in kept:
                kept[name].copy_(full)
        return self.copy or self.model


def spread(model: nn.Module, ranks: Ranks, engine: Engine) -> Alone:
    """The model by the engine that suits the ranks."""
    if ranks.count == 1:
        return Alone(model)
    return Ddp(model) if engine == "ddp" else Fsdp(model, ranks)


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The members of a model's lists of modules, the outermost ones: its blocks or layers."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from blocks(child)


def recompute_blocks(model: nn.Module) -> None:
    """Keep of every block only its input, and compute the block again in the backward pass (Chen et al. 2016, "Training Deep
    Nets with Sublinear Memory Cost"): the same numbers, by a third more arithmetic."""
    from torch.utils.checkpoint import checkpoint

    for block in blocks(model):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
