"""Weights on disk: one safetensors file, and nothing loaded that does not fit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stages.lm.errors import UserError

WEIGHTS = "model.safetensors"
DTYPES = {"float32": "F32", "uint16": "U16", "uint32": "U32"}
"""numpy's names and those of safetensors."""


def save_weights(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` to `folder/model.safetensors`."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def save_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` to `folder/model.safetensors` one after the other, so that arrays mapped from files need no memory.

    The format (https://github.com/huggingface/safetensors#format): the length of the header in 8 bytes, the header in JSON,
    padded with spaces to a multiple of 8 bytes, the data in the order of the header; wide numbers first, so that all are aligned.
    """
    ordered = sorted(arrays.items(), key=lambda item: -item[1].itemsize)
    header, end = {}, 0
    for name, array in ordered:
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with (folder / WEIGHTS).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            np.ascontiguousarray(array).tofile(file)


def load_weights(folder: Path, name: str = WEIGHTS, remedy: str = "run the training of this model again") -> dict[str, Tensor]:
    """The tensors in a file, mapped into memory. Raises UserError, with the remedy, if it is absent or damaged."""
    file = folder / name
    try:
        return dict(load_file(file))
    except (FileNotFoundError, SafetensorError) as error:
        raise UserError(f"{file}: cannot be read as weights ({error}); {remedy}") from None


def check_shapes(folder: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises UserError unless both hold the same names with the same shapes."""
    for name in sorted(found.keys() | expected.keys()):
        have = tuple(found[name].shape) if name in found else "nothing"
        need = tuple(expected[name].shape) if name in expected else "nothing"
        if have != need:
            raise UserError(f"{folder / WEIGHTS}: {name} is {have}, but the model's settings need {need}; it is another model")
