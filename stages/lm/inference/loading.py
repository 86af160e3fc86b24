"""Opening a trained model together with the tokenizer that it was trained with."""

from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from stages.lm.artifacts import Artifact
from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.interface import LanguageModel
from stages.lm.models.layers import Linear

Precision = Literal["fp32", "bf16", "int8"]


LINEAR = {"bf16": ("few_rows", "FewRowsLinear"), "int8": ("int8", "Int8Linear")}
"""What computes linear layers on a CPU in these precisions: its module and class."""


class Trained(NamedTuple):
    """A model ready to predict."""

    model: LanguageModel
    end_of_text: int
    """The id of the token between documents."""
    device: torch.device
    """Where it wants its ids."""
    module: str
    """The Python module that implements it."""


def load(model: Artifact, device: str, threads: int, precision: Precision = "fp32", is_compiled: bool = False) -> Trained:
    """The model of a train artifact on `device` (auto, cpu or cuda); see `open_model`."""
    return open_model(model.path, device, threads, precision, is_compiled)


def open_model(
    folder: Path, device: str = "cpu", threads: int = 2, precision: Precision = "fp32", is_compiled: bool = False
) -> Trained:
    """The model in a folder, its weights in this precision, each next token by compiled code if that is asked for.

    The number of processor threads is fixed, so that sums always round alike. Raises UserError where there is no such device, and
    for a model that is not computed in this way.
    """
    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: is cuda, but torch finds no GPU here; use auto or cpu, or run where there is one")
    description = registry.describe(folder)
    loaded: Any = registry.load(folder)
    chosen = torch.device("cpu")
    if isinstance(loaded, torch.nn.Module):
        chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        loaded.to(chosen).eval()
    if (precision != "fp32" or is_compiled) and not getattr(loaded, "keeps_all", False):
        key = "compile" if is_compiled else "precision"
        raise UserError(f"{key}: only decoders with softmax attention are decoded so, and this is no such {description.family}")
    if precision == "int8" and chosen.type != "cpu":
        raise UserError("precision: int8 is for a processor; set device to cpu, or precision to bf16")
    if precision != "fp32":
        if chosen.type == "cpu":
            _replace_linear(loaded, *LINEAR[precision])
        for parameter in loaded.parameters():  # not the tables of positions, whose angles need all their digits
            parameter.data = parameter.data.bfloat16()
    if is_compiled:
        loaded = import_module("stages.lm.inference.compiled").CompiledLM(loaded)
    return Trained(loaded, description.end_of_text, chosen, registry.module_of(description.settings.family))


def _replace_linear(model: torch.nn.Module, module: str, name: str) -> None:
    kind = getattr(import_module(f"stages.lm.inference.{module}"), name)
    for parent in list(model.modules()):
        for child, layer in parent.named_children():
            if isinstance(layer, Linear):
                setattr(parent, child, kind(layer))
