"""Settings of a variant: what a config file may say under `model`."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt, model_validator

from stages.lm.errors import UserError
from stages.lm.models.huggingface.source import read_source
from stages.lm.settings import INTEGER, NUMBER, Settings, unknown

GIVEN = ("vocab_size", "max_position_embeddings")
"""Keys of its config class that follow from the tokenizer and from `context_length`."""


class HuggingFaceSettings(Settings):
    """A language model of Hugging Face transformers that a Python file of yours defines, to try a variant of your own."""

    trained_by: ClassVar[Literal["counting", "gradient"]] = "gradient"
    learns_from: ClassVar[Literal["windows"]] = "windows"
    task: ClassVar[Literal["language model"]] = "language model"

    family: Literal["huggingface"]
    file: str
    """The Python file: a config class with its `model_type`, a model, both registered with the auto classes of transformers."""
    context_length: PositiveInt
    """The longest sequence of tokens that a prediction may see. `max_position_embeddings` of the config class is one more: in
    training a model of transformers reads the last token of a window too, for its labels are what it reads."""
    config: dict[str, Any] = {}
    """Values for keys of the config class, over the defaults that the file writes down; `vocab_size` and
    `max_position_embeddings` are known already."""
    code: str | None = None
    """The version of the file's code, filled in when a config is read. It is part of every path, so that another code never
    takes over what this one made; a comment is no other code."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        """Read numbers that YAML takes for text; look into the file, unless that was done before: a trained model has its own."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if isinstance(data.get("config"), dict):
            data["config"] = {key: _number(value) for key, value in data["config"].items()}
        if data.get("code") is None and isinstance(data.get("file"), str) and isinstance(data.get("config", {}), dict):
            try:
                data |= cls._look_into(Path(data["file"]), data.get("config", {}))
            except UserError as error:
                raise ValueError(str(error)) from None
        return data

    @staticmethod
    def _look_into(file: Path, config: dict[str, Any]) -> dict[str, Any]:
        """The version of its code, and the values of its keys with the file's own defaults."""
        source = read_source(file)
        for key in config:
            if key in GIVEN:
                raise UserError(f"config.{key}: follows from the tokenizer and context_length; leave it out")
            if source.keys is not None and key not in source.keys:
                raise UserError(unknown(f"config.{key}", "key", str(key), source.keys - set(GIVEN)))
        defaults = {key: value for key, value in source.defaults.items() if key not in GIVEN}
        return {"code": source.code, "config": defaults | config}


def _number(value: Any) -> Any:
    """3e-4, which YAML 1.1 takes for text, and what arrives as text from Snakemake's command line."""
    if not isinstance(value, str):
        return value
    if INTEGER.fullmatch(value):
        return int(value)
    if NUMBER.fullmatch(value):
        return float(value)
    return value == "true" if value in ("true", "false") else value
