"""A log of the memory of a rehearsal: when each storage came and went, how large it is, and what it is for."""

import weakref
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from stages.lm.accounting.gpu import products_workspace
from stages.lm.accounting.rehearsal import Watching
from stages.lm.accounting.workspaces import WORKSPACE, scratch, workspace
from stages.lm.models.recurrent.layer import RecurrentLayer
from stages.lm.training.batches import Batch
from stages.lm.training.learner import Learner
from stages.lm.training.sharding import local

PARTS = {
    "attn": "attention", "cross_attn": "attention", "attention": "attention", "ffn": "feed_forward",
    "token_embeddings": "embedding", "output_embeddings": "embedding", "positions": "embedding", "ln_embeddings": "embedding",
    "transform": "head", "ln_transform": "head", "readout": "head", "lm_head": "head", "head_loss": "head",
}  # fmt: skip
"""The parts of models by the names of their modules."""


RESIZE = torch.UntypedStorage.resize_


class Storages(Watching):  # type: ignore[no-untyped-call]
    """Numbers the storages of a rehearsal by their order.

    Whatever an operation returns is new, a view, or what it was given; new storages are logged when they are seen first, and
    again when the last tensor that uses them is gone.
    """

    def __init__(self, vocab_size: int, on_gpu: bool = False) -> None:
        """`on_gpu`: what kernels take for themselves is a GPU's, not a CPU's."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.vocab_size, self.on_gpu = vocab_size, on_gpu
        self.sizes: list[int] = []
        """Bytes of each storage."""
        self.uses: list[str] = []
        """What each storage is for."""
        self.events: list[tuple[int, bool]] = []
        """Storages that came (True) or went (False), in order."""
        self.after_forward: list[int] = []
        """How many events there were when the model had given the loss of a micro-batch."""
        self._numbers: dict[int, int] = {}
        """The storages that live, by torch's own key."""
        self._empty: set[int] = set()
        """The keys of those that hold nothing at present."""
        self._parts: list[str] = []
        """The parts of the model that are computing, the innermost last."""

    def __enter__(self) -> Self:
        cast(Any, torch.UntypedStorage).resize_ = lambda storage, size: self._resize(storage, size)
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        cast(Any, torch.UntypedStorage).resize_ = RESIZE
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]

    def _resize(self, storage: torch.UntypedStorage, size: int) -> None:
        """FSDP takes memory away from weights and gives it back, by no operation that a mode sees."""
        RESIZE(storage, size)
        key = storage._cdata
        if key not in self._numbers:
            return
        number = self._numbers[key]
        if key not in self._empty:
            self.events.append((number, False))
        self._empty.discard(key)
        if size:
            self._numbers[key] = self._come(size, self.uses[number])
        else:
            self._empty.add(key)

    def seen(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._number(tensor)
        if func.namespace == "fsdp":
            self.mark("unsharded", filter(self._is_whole, tree_leaves((args, kwargs))))
        kept, taken = workspace(func, args), 0 if self.on_gpu else scratch(func, args)
        if kept is not None:
            self.sizes[self._number(result[WORKSPACE])] = kept
        if taken:
            number = self._come(taken, "workspace")
            self.events.append((number, False))

    def begin(self, learner: Learner, batch: Batch) -> None:
        """Mark what is there before the first step, with the optimizer's state, and see what the modules do after it."""
        self.mark("weights", [*learner.model.parameters(), *learner.model.buffers()])
        self.mark("batch", batch.tensors)
        if self.on_gpu:
            self._come(products_workspace(), "workspace")
        self._make_state(learner)
        for state in learner.optimizer.state.values():
            self.mark("optimizer", state.values())
        for parameter in learner.model.parameters():
            cast(Any, parameter).register_post_accumulate_grad_hook(lambda weight: self.mark("gradients", [weight.grad]))
        for name, module in learner.model.named_modules():
            part = part_of(name, module)
            if part is not None:
                module.register_forward_pre_hook(lambda _module, _args, part=part: self._parts.append(part))
                # Computing a block again ends with an exception, as soon as all is there that is needed.
                module.register_forward_hook(lambda *_: self._leave(), always_call=True)
        learner.engine.module.register_forward_hook(lambda *_: self.after_forward.append(len(self.events)))

    def _make_state(self, learner: Learner) -> None:
        """Let the optimizer make its state, as the first step of a training does, by a step with gradients of zero."""
        for parameter in learner.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
            self.mark("gradients", [parameter.grad])
        learner.optimizer.step()
        learner.optimizer.zero_grad()

    def mark(self, use: str, tensors: Iterable[Any]) -> None:
        """These tensors are for that."""
        for tensor in tensors:
            if isinstance(tensor, Tensor):
                self.uses[self._number(local(tensor))] = use

    def peak(self, without: str | None = None) -> dict[str, int]:
        """Bytes by use when the most is in use, one use left out."""
        now = highest = best = 0
        for moment, (number, comes) in enumerate(self.events, start=1):
            if self.uses[number] != without:
                now += self.sizes[number] if comes else -self.sizes[number]
            if now > highest:
                highest, best = now, moment
        found = self.at(best)
        return {use: size for use, size in found.items() if use != without}

    def at(self, moment: int) -> dict[str, int]:
        """Bytes by use after so many events."""
        live: set[int] = set()
        for number, comes in self.events[:moment]:
            (live.add if comes else live.remove)(number)
        found: Counter[str] = Counter()
        for number in live:
            found[self.uses[number]] += self.sizes[number]
        return dict(found)

    def _number(self, tensor: Tensor) -> int:
        """The number of the tensor's storage."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._numbers:
            self._numbers[key] = self._come(storage.nbytes(), self._use(tensor))
            weakref.finalize(storage, self._gone, key)
        return self._numbers[key]

    def _come(self, size: int, use: str) -> int:
        """The number of a new storage."""
        self.sizes.append(size)
        self.uses.append(use)
        self.events.append((len(self.sizes) - 1, True))
        return len(self.sizes) - 1

    def _gone(self, key: int) -> None:
        number = self._numbers.pop(key)
        if key not in self._empty:
            self.events.append((number, False))
        self._empty.discard(key)

    def _use(self, tensor: Tensor) -> str:
        """What a new storage is for. Gradients are computed without a graph of their own, so what has one is for the backward
        pass; the rest of what no module computes is gone soon."""
        if tensor.dim() > 1 and tensor.shape[-1] == self.vocab_size:
            return "logits"
        if self._parts:
            return self._parts[-1]
        return "other_activations" if torch.is_grad_enabled() else "workspace"

    def _is_whole(self, value: Any) -> bool:
        """Whether FSDP's operation does not read its shard of the weights here: what it sends and receives is of all ranks."""
        return isinstance(value, Tensor) and self.uses[self._number(value)] != "weights"

    def _leave(self) -> None:
        self._parts.pop()


def part_of(name: str, module: nn.Module) -> str | None:
    """The part of a model that a module belongs to, by its path; norms are those outside of any other part."""
    if isinstance(module, RecurrentLayer):
        return "recurrence"
    for step in name.split("."):
        if step in PARTS:
            return PARTS[step]
        if step.startswith("ln") or step == "dropout":
            return "dropout" if step == "dropout" else "norms"
    return None
