"""Model, optimizer and step in one safetensors file; nothing in it can run code when it is read."""

import json
from os import PathLike
from pathlib import Path
from typing import IO, Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

Target = str | PathLike[str] | IO[bytes]


def save_checkpoint(model: nn.Module, optimizer: torch.optim.Optimizer, iteration: int, out: Target) -> None:
    """Write everything that training needs to go on from `iteration` to a path or an open binary file."""
    tensors = {f"model.{name}": tensor for name, tensor in _distinct(model.state_dict()).items()}
    state = optimizer.state_dict()
    plain: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                plain.setdefault(str(index), {})[key] = value
    about = {"iteration": iteration, "optimizer": plain, "param_groups": state["param_groups"]}
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, {"about": json.dumps(about)})
    if isinstance(out, str | PathLike):
        Path(out).write_bytes(content)
    else:
        out.write(content)


def load_checkpoint(src: Target, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Restore what `save_checkpoint` wrote, in place; returns the iteration. Without an optimizer its state is left out."""
    content = Path(src).read_bytes() if isinstance(src, str | PathLike) else src.read()
    tensors, about = load(content), _about(content)
    aliases = _aliases(model.state_dict())
    weights = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    model.load_state_dict(weights | {name: weights[kept] for name, kept in aliases.items()})
    if optimizer is not None:
        optimizer.load_state_dict(_optimizer_state(tensors, about, optimizer))
    return int(about["iteration"])


def _optimizer_state(tensors: dict[str, Tensor], about: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state dictionary that `optimizer` wrote; tuples, which JSON does not know, are recognised by its current ones."""
    state: dict[int, dict[str, Any]] = {int(index): dict(entries) for index, entries in about["optimizer"].items()}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    groups = [
        {key: tuple(value) if isinstance(current.get(key), tuple) else value for key, value in group.items()}
        for group, current in zip(about["param_groups"], optimizer.param_groups, strict=True)
    ]
    return {"state": state, "param_groups": groups}


def _aliases(tensors: dict[str, Tensor]) -> dict[str, str]:
    """Names of tensors that share their storage with an earlier one (tied weights), and the name of that."""
    first: dict[int, str] = {}
    return {name: first[t.data_ptr()] for name, t in tensors.items() if first.setdefault(t.data_ptr(), name) != name}


def _distinct(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    aliases = _aliases(tensors)
    return {name: tensor for name, tensor in tensors.items() if name not in aliases}


def _about(content: bytes) -> dict[str, Any]:
    """The metadata in a safetensors file: 8 bytes of header length, then the header as JSON."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return dict(json.loads(header["__metadata__"]["about"]))
