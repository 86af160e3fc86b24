"""What all models share that are trained by gradient descent: counting their parameters, saving and loading them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from torch import Tensor, nn

from stages.lm.models.weights import check_shapes, load_weights, save_weights


class Network(nn.Module):
    """A module that is described by settings and a vocabulary's size. Parameters with several names are stored once."""

    trained_by: Literal["counting", "gradient"] = "gradient"

    def num_parameters(self) -> int:
        """How many numbers it learns."""
        return sum(parameter.numel() for parameter in self.parameters())

    def save(self, folder: Path) -> None:
        """Write the weights to `folder/model.safetensors`."""
        repeated = self._repeated()
        save_weights(folder, {name: tensor for name, tensor in self.state_dict().items() if name not in repeated})

    @classmethod
    def from_settings(cls, settings: Any, vocab_size: int) -> Self:
        """An untrained model; its random numbers come from torch's global generator."""
        return cls(settings, vocab_size)

    @classmethod
    def load(cls, folder: Path, settings: Any, vocab_size: int) -> Self:
        """The model whose weights `save` wrote. Raises UserError if they do not fit the settings."""
        model = cls.from_settings(settings, vocab_size)
        model.adopt(load_weights(folder), folder)
        return model

    def adopt(self, tensors: Mapping[str, Tensor], folder: Path) -> None:
        """Take the weights that were found in a folder, each stored once. Raises UserError if they do not fit."""
        complete = {**tensors, **{name: tensors[other] for name, other in self._repeated().items() if other in tensors}}
        check_shapes(folder, complete, self.state_dict())
        self.load_state_dict(complete)

    def _repeated(self) -> dict[str, str]:
        """Names of parameters that have a later name too, and that name: embeddings tied to the output layer, for example."""
        named = list(self.named_parameters(remove_duplicate=False))
        last = {id(parameter): name for name, parameter in named}
        return {name: last[id(parameter)] for name, parameter in named if last[id(parameter)] != name}
