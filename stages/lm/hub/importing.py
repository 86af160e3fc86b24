"""A folder of Hugging Face transformers as a model of ours: one that we exported, or any Llama with plain rotary positions."""

from pathlib import Path
from typing import NamedTuple

import torch

from stages.lm.artifacts import sha256
from stages.lm.bpe.files import read_json
from stages.lm.errors import UserError
from stages.lm.hub.folder import CUSTOM, LLAMA, folder_files
from stages.lm.hub.layouts import filled, stated
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.transformer import TransformerLM
from stages.lm.models.weights import load_weights

READABLE = (LLAMA, CUSTOM)

FREE = {"dropout", "kernel", "context_length"}
"""What a training may choose anew: none of it is in the weights, but for learned positions, whose shape tells."""


class Imported(NamedTuple):
    """A model as its folder describes it, and the digest of its tokenizer where we exported it."""

    settings: TransformerSettings
    weights: dict[str, torch.Tensor]
    tokenizer: str | None


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of each file that a model is read from, by its name. Raises UserError for a folder without a model."""
    return {file.name: sha256(file) for file in folder_files(folder)}


def read_folder(folder: Path) -> Imported:
    """The model in a folder. Raises UserError where there is none, or none that can be read."""
    file, *parts = folder_files(folder)
    config = stated(read_json(file))
    layout = next((layout for layout in READABLE if layout.model_type == config.get("model_type")), None)
    if layout is None:
        known = ", ".join(layout.model_type for layout in READABLE)
        raise UserError(f"{file}: is of model_type {config.get('model_type')!r}; only {known} can be read")
    settings = layout.settings(config, str(file))
    tensors: dict[str, torch.Tensor] = {}
    for part in parts:
        tensors |= load_weights(folder, part.name, "copy the folder again")
    arrays = layout.from_hub({name: tensor.float().numpy() for name, tensor in tensors.items()}, settings)
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Imported(settings, weights, config.get("stagecraft_tokenizer"))


def start_from(model: TransformerLM, settings: TransformerSettings, folder: Path, tokenizer: str) -> None:
    """Give `model` the weights in a folder. Raises UserError unless both are the same model and tokenizer."""
    where = f"training.start: {folder}"
    found = read_folder(folder)
    if found.tokenizer not in (None, tokenizer):
        raise UserError(f"{where}: was trained with the tokenizer {found.tokenizer}, and these tokens are of {tokenizer}")
    theirs = filled(found.settings)
    for key, value in filled(settings).items():
        if key not in FREE and theirs[key] != value:
            raise UserError(f"{where}: has {key} {theirs[key]}, and model.{key} is {value}; change that")
    model.adopt(found.weights, folder)
