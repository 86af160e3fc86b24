"""Opening a trained model together with the tokenizer that it was trained with."""

from pathlib import Path
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
    module: str
    """The module that implements it."""


def check_tokenizer(model: Artifact, digest: str, other: Path) -> None:
    """Raise UserError unless the model was trained with the tokenizer artifact of this `digest`, which `other` brings."""
    trained_with = registry.describe(model.path).tokenizer
    if trained_with != digest:
        raise UserError(
            f"{other}: comes from the tokenizer {digest}, but the model {model.path} was trained with the tokenizer "
            f"{trained_with}; give both the same one"
        )


def load(model: Artifact, threads: int) -> Trained:
    """The model of a train artifact on `threads` processor threads, a fixed number so that its sums always round alike."""
    torch.set_num_threads(threads)
    description = registry.describe(model.path)
    return Trained(registry.load(model.path), description.end_of_text, registry.module_of(description.settings.family))
