"""Model, optimizer and step in one safetensors file; nothing in it can run code when it is read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, Any, Protocol

import torch
from safetensors.torch import load
from torch import Tensor, nn

from stages.lm.training.sharding import like, whole


class Writable(Protocol):
    """A binary stream, or what looks like one."""

    def write(self, content: Any, /) -> Any: ...


Target = str | PathLike[str] | IO[bytes]

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""What safetensors call these types."""


@dataclass
class Snapshot:
    """A copy of a training's state in the memory of the host: what comes later does not change it."""

    tensors: dict[str, Tensor]
    about: str
    """What is no tensor, as JSON."""

    def write(self, out: Writable) -> None:
        """Write a safetensors file, tensor by tensor, without another copy; other threads go on meanwhile."""
        header: dict[str, Any] = {"__metadata__": {"about": self.about}}
        end = 0
        for name, tensor in self.tensors.items():
            start, end = end, end + tensor.numel() * tensor.element_size()
            header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)  # the data is aligned to 8 bytes
        out.write(len(text).to_bytes(8, "little") + text)
        for tensor in self.tensors.values():
            out.write(tensor.flatten().view(torch.uint8).numpy().data)


def snapshot(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    iteration: int,
    extra: Mapping[str, Tensor] | None = None,
    keep: bool = True,
) -> Snapshot:
    """The state of a training after `iteration` steps, and what `extra` there is to remember.

    Shards are put together one tensor after the other, to which all ranks contribute; those that do not `keep` it get nothing.
    """
    aliases = _aliases(model)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items() if name not in aliases}
    tensors |= {f"extra.{name}": tensor for name, tensor in (extra or {}).items()}
    state = optimizer.state_dict()
    plain: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                plain.setdefault(str(index), {})[key] = value
    about = {"iteration": iteration, "optimizer": plain, "param_groups": state["param_groups"]}
    copies: dict[str, Tensor] = {}
    for name, tensor in sorted(tensors.items()):  # in one order, whether the optimizer was made new or loaded
        content = whole(tensor.detach())
        if keep:
            copies[name] = content.to("cpu", copy=True).contiguous()
    return Snapshot(copies, json.dumps(about, sort_keys=True))


def save_checkpoint(model: nn.Module, optimizer: torch.optim.Optimizer, iteration: int, out: Target) -> None:
    """Write everything that training needs to go on from `iteration` to a path or an open binary file."""
    taken = snapshot(model, optimizer, iteration)
    if isinstance(out, str | PathLike):
        with Path(out).open("wb") as stream:
            taken.write(stream)
    else:
        taken.write(out)


def load_checkpoint(src: Target, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Restore what `save_checkpoint` wrote, in place; returns the iteration. Without an optimizer its state is left out."""
    iteration, _ = load_with_extra(src, model, optimizer)
    return iteration


def load_with_extra(
    src: Target, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> tuple[int, dict[str, Tensor]]:
    """As `load_checkpoint`; returns the iteration, and what extra there was."""
    content = Path(src).read_bytes() if isinstance(src, str | PathLike) else src.read()
    # A copy lies where torch puts its tensors: products of what lies elsewhere in memory may round differently.
    tensors, about = {name: tensor.clone() for name, tensor in load(content).items()}, _about(content)
    weights = _below("model.", tensors)
    weights |= {name: weights[kept] for name, kept in _aliases(model).items()}
    current = model.state_dict()
    model.load_state_dict({name: like(tensor, current.get(name)) for name, tensor in weights.items()})
    if optimizer is not None:
        optimizer.load_state_dict(_optimizer_state(tensors, about, optimizer))
    return int(about["iteration"]), _below("extra.", tensors)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _optimizer_state(tensors: dict[str, Tensor], about: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state dictionary that `optimizer` wrote; tuples, which JSON does not know, are recognised by its current ones."""
    state: dict[int, dict[str, Any]] = {int(index): dict(entries) for index, entries in about["optimizer"].items()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, tensor in _below("optimizer.", tensors).items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        state.setdefault(int(index), {})[key] = like(tensor, parameter) if tensor.shape == parameter.shape else tensor
    groups = [
        {key: tuple(value) if isinstance(current.get(key), tuple) else value for key, value in group.items()}
        for group, current in zip(about["param_groups"], optimizer.param_groups, strict=True)
    ]
    return {"state": state, "param_groups": groups}


def _aliases(model: nn.Module) -> dict[str, str]:
    """Names of parameters that are the same as an earlier one (tied weights), and the name of that."""
    first: dict[int, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {name: first[id(parameter)] for name, parameter in named if first.setdefault(id(parameter), name) != name}


def _about(content: bytes) -> dict[str, Any]:
    """The metadata in a safetensors file: 8 bytes of header length, then the header as JSON."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return dict(json.loads(header["__metadata__"]["about"]))
