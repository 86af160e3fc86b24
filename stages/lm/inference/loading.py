"""Opening a trained model together with the tokenizer that it was trained with."""

from typing import NamedTuple

import torch

from stages.lm.artifacts import Artifact
from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.interface import LanguageModel


class Trained(NamedTuple):
    """A model ready to predict."""

    model: LanguageModel
    end_of_text: int
    """The id of the token between documents."""
    device: torch.device
    """Where it wants its ids."""
    module: str
    """The Python module that implements it."""


def load(model: Artifact, device: str, threads: int) -> Trained:
    """The model of a train artifact on `device` (auto, cpu or cuda).

    The number of processor threads is fixed, so that sums always round alike. Raises UserError where there is no such device.
    """
    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: is cuda, but torch finds no GPU here; use auto or cpu, or run where there is one")
    description = registry.describe(model.path)
    loaded = registry.load(model.path)
    chosen = torch.device("cpu")
    if isinstance(loaded, torch.nn.Module):
        chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        loaded.to(chosen).eval()
    return Trained(loaded, description.end_of_text, chosen, registry.module_of(description.settings.family))
