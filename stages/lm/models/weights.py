"""Weights on disk: one safetensors file, and nothing loaded that does not fit."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stages.lm.errors import UserError

WEIGHTS = "model.safetensors"


def save_weights(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` to `folder/model.safetensors`."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors in `folder/model.safetensors`. Raises UserError if it is absent or damaged."""
    file = folder / WEIGHTS
    try:
        return dict(load_file(file))
    except (FileNotFoundError, SafetensorError) as error:
        raise UserError(f"{file}: cannot be read as weights ({error}); run the training of this model again") from None


def check_shapes(folder: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises UserError unless both hold the same names with the same shapes."""
    for name in sorted(found.keys() | expected.keys()):
        have = tuple(found[name].shape) if name in found else "nothing"
        need = tuple(expected[name].shape) if name in expected else "nothing"
        if have != need:
            raise UserError(f"{folder / WEIGHTS}: {name} is {have}, but the model's settings need {need}; train the model again")
