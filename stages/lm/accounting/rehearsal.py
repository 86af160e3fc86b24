"""Training steps without numbers: the real code runs on tensors that have shapes and no memory, and modes watch what it does.

Nothing here repeats what a model computes: the same model, loss and optimizer as in training are called, on torch's fake tensors,
which know their shape, type and device and hold no elements. So a rehearsal takes milliseconds and no memory however large the
model is, and what it finds follows every change to the code.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self, cast

import torch
from torch import nn
from torch._guards import active_fake_mode
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from stages.lm.models import registry
from stages.lm.models.settings import ModelSettings
from stages.lm.training.batches import Batch
from stages.lm.training.distributed import ALONE, Ranks
from stages.lm.training.engines import Engine
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainingSettings
from stages.lm.training.sharding import is_sharded


class Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation below autograd, with what it is given and what it gives back."""

    share = 1.0
    """Of a mask whose True places are looked up, how many there are: the share of the tokens that are predicted."""

    def __enter__(self) -> Self:
        self.entered = _entered()
        return cast(Self, super().__enter__())  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(map(is_sharded, types)):
            return NotImplemented  # until it has become an operation on this rank's shard
        if _entered() > self.entered:  # once more: torch asks what shape the whole of a sharded tensor would have
            return func(*args, **(kwargs or {}))
        if func is torch.ops.aten._local_scalar_dense.default:
            return 0  # a number read off a tensor, of which there are none
        if func is torch.ops.aten.nonzero.default:
            result = args[0].new_empty((round(self.share * args[0].numel()), args[0].dim()), dtype=torch.long)
        else:
            result = func(*args, **(kwargs or {}))
        self.seen(func, args, kwargs or {}, result)
        return result

    def seen(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Called after every operation; for subclasses."""

    def begin(self, learner: Learner, batch: Batch) -> None:
        """Called before the first step; for subclasses."""


def _entered() -> int:
    """How often the mode of fake tensors has been entered."""
    mode = active_fake_mode()
    return len(mode.enter_stack) if mode else 0


def rehearse(
    settings: ModelSettings,
    training: TrainingSettings,
    vocab_size: int,
    make_batch: Callable[[], Batch],
    watch: Watching,
    steps: int = 2,
    ranks: Ranks = ALONE,
    engine: Engine = "ddp",
) -> Learner:
    """Take optimizer steps, of which the first makes the optimizer's state; returns the learner, with all its tensors."""
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(watch)
        model: Any = registry.build(settings, vocab_size, training.seed)
        model.to = lambda _device: model  # it is where it belongs, and fake parameters cannot be exchanged
        plain = training.model_copy(update={"compile": False})
        learner = Learner(cast(nn.Module, model), plain, torch.device("cpu"), ranks, engine)
        batch = make_batch()
        watch.share = batch.predictions / batch.tokens
        watch.begin(learner, batch)
        for _ in range(steps):
            learner.step(batch, training.learning_rate)
    return learner
