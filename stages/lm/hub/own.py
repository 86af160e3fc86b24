"""A variant of the user's, which is a model of transformers already: its folder with what else an export has."""

from pathlib import Path
from typing import Any

from stages.lm.bpe.files import read_json
from stages.lm.hub.layouts import CONFIG, Arrays, Layout
from stages.lm.models.huggingface.settings import HuggingFaceSettings
from stages.lm.models.registry import ModelDescription


class OwnLayout(Layout[HuggingFaceSettings]):
    def fits(self, settings: Any) -> bool:
        return isinstance(settings, HuggingFaceSettings)

    def describe(self, trained: Path, description: ModelDescription) -> dict[str, Any]:  # noqa: ARG002, it says so itself
        found: dict[str, Any] = read_json(trained / CONFIG)
        return found

    def code(self, trained: Path, settings: HuggingFaceSettings) -> Path:
        return trained / Path(settings.file).name

    def to_hub(self, weights: Arrays, settings: HuggingFaceSettings) -> Arrays:  # noqa: ARG002, they are as they should be
        return weights
