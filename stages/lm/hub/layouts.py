"""In what form a model becomes one that transformers knows: the names in its config.json, and those of its weights."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from numpy.typing import NDArray

from stages.lm.models.registry import ModelDescription
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.stack_settings import StackSettings
from stages.lm.settings import Settings

S = TypeVar("S", bound=Settings)

Arrays = dict[str, NDArray[Any]]

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""What a folder holds."""

SIZES = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "d_model": "hidden_size",
    "d_head": "head_dim",
    "d_ff": "intermediate_size",
    "context_length": "max_position_embeddings",
}
"""Our names and those that every config.json uses."""

TIED = ("token_embeddings.weight", "lm_head.weight")
"""One tensor, where embeddings are tied: transformers stores it under the first name, we under the second."""


class Layout(ABC, Generic[S]):
    """One form of models that transformers knows."""

    @abstractmethod
    def fits(self, settings: Any) -> bool:
        """Whether it computes what a model of these settings, of whatever family, does."""

    @abstractmethod
    def describe(self, trained: Path, description: ModelDescription) -> dict[str, Any]:
        """What config.json says of the model in the folder `trained`."""

    def code(self, trained: Path, settings: S) -> Path | None:  # noqa: ARG002
        """The file with the code of such a model, None where transformers has it."""
        return None

    @abstractmethod
    def to_hub(self, weights: Arrays, settings: S) -> Arrays:
        """Our weights, each array once, under the names and in the order of numbers that transformers wants."""


class KnownLayout(Layout[S]):
    """One whose model is known beforehand."""

    model_type: ClassVar[str]
    architecture: ClassVar[str]

    @abstractmethod
    def config(self, settings: S, vocab_size: int) -> dict[str, Any]:
        """What config.json says of a model of these settings beside its class."""

    def describe(self, trained: Path, description: ModelDescription) -> dict[str, Any]:  # noqa: ARG002
        own = self.config(description.settings, description.vocab_size)  # type: ignore[arg-type]  # which it fits
        return {"architectures": [self.architecture], "model_type": self.model_type, **own}


class TwoWayLayout(KnownLayout[TransformerSettings]):
    """One that can be read too."""

    @abstractmethod
    def settings(self, config: dict[str, Any], where: str) -> TransformerSettings:
        """The settings that a config.json means by what it states. Raises UserError, naming `where`, if there are none for it."""

    @abstractmethod
    def from_hub(self, weights: Arrays, settings: TransformerSettings) -> Arrays:
        """The reverse of `to_hub`."""


def agrees(settings: Any, made_of: Mapping[str, Any]) -> bool:
    """Whether a model is made of these parts."""
    return all(getattr(settings, key) == value for key, value in made_of.items())


def renamed(name: str, blocks: str, new_blocks: str, modules: Mapping[str, str]) -> str:
    """A tensor's name with the names of its list of blocks and of its module replaced.

    Names that are not known stay, and are refused where they are read.
    """
    module, _, kind = name.rpartition(".")
    block = re.fullmatch(rf"{re.escape(blocks)}\.(\d+)\.(.+)", module)
    if block:
        return f"{new_blocks}.{block[1]}.{modules.get(block[2], block[2])}.{kind}"
    return f"{modules.get(module, module)}.{kind}"


def stated(config: dict[str, Any]) -> dict[str, Any]:
    """What a config.json states, in mappings below it too: null says as much there as leaving the key out."""
    return {name: stated(value) if isinstance(value, dict) else value for name, value in config.items() if value is not None}


def stated_sizes(config: dict[str, Any]) -> dict[str, Any]:
    """The sizes that a config.json states, under our names."""
    return {own: config[name] for own, name in SIZES.items() if name in config}


def filled(settings: StackSettings) -> dict[str, Any]:
    """The settings of a model with every default filled in."""
    return settings.resolved() | {
        "kv_heads": settings.key_value_heads,
        "d_head": settings.head_width,
        "d_ff": settings.feed_forward_width,
    }


def sizes(settings: StackSettings) -> dict[str, Any]:
    """The sizes of a model under the names of a config.json."""
    known = filled(settings)
    return {name: known[own] for own, name in SIZES.items()}
