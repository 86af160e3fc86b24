"""The config file: named corpora, tokenizers and experiments that refer to each other by name.

The settings of each part are defined beside the code that uses them; here they are put together, `extends` is resolved and
references are checked. `python -m workflow.config` prints the JSON schema, which editors can use.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, StringConstraints, TypeAdapter

from stages.lm.bpe.settings import TokenizerSettings
from stages.lm.corpus.settings import CorpusSettings
from stages.lm.errors import UserError
from stages.lm.evaluation.settings import EvaluationSettings
from stages.lm.inference.settings import DecodingSettings
from stages.lm.models.settings import ModelSettings
from stages.lm.settings import Settings, parse, unknown
from stages.lm.training.settings import TrainingSettings

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*$")]
"""Names become folder names: letters, digits, `_`, `.` and single `-`."""

KINDS = ("source", "family", "kind")
"""Keys that decide which other keys a mapping may hold."""


class Tokenizer(TokenizerSettings):
    """A tokenizer and the corpus that it is trained on."""

    corpus: str
    """The corpus whose train split it learns from."""

    def own_settings(self) -> dict[str, Any]:
        """The settings of the tokenizer itself."""
        return {key: value for key, value in self.resolved().items() if key != "corpus"}


class Experiment(Settings):
    """One model, from its tokenizer to its samples."""

    tokenizer: str
    """The tokenizer's name."""
    corpus: str | None = None
    """The corpus to train and evaluate on; the tokenizer's own if not given."""
    model: ModelSettings
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    decoding: DecodingSettings = DecodingSettings()


class Execution(Settings):
    """How jobs run; nothing here influences a result."""

    wandb: Literal["disabled", "offline", "online"] = "disabled"
    """Whether training reports to Weights & Biases; `offline` needs no network."""
    checkpoint_seconds: float = Field(default=60.0, gt=0)
    """Time between checkpoints of a training."""


class Config(Settings):
    """A whole config file."""

    name: Name
    """Names the report."""
    title: str = "Language models"
    """The report's heading."""
    corpora: dict[Name, CorpusSettings]
    tokenizers: dict[Name, Tokenizer]
    experiments: dict[Name, Experiment]
    execution: Execution = Execution()


def read(data: Mapping[str, Any]) -> Config:
    """The validated config of a file's raw content. Raises UserError naming the key and what is allowed there."""
    resolved = {key: _resolve_extends(value, key) if key in ("corpora", "tokenizers", "experiments") else value
                for key, value in data.items()}  # fmt: skip
    config = parse(Config, resolved, "")
    for name, tokenizer in config.tokenizers.items():
        _check_reference(f"tokenizers.{name}.corpus", "corpus", tokenizer.corpus, config.corpora)
    for name, experiment in config.experiments.items():
        _check_reference(f"experiments.{name}.tokenizer", "tokenizer", experiment.tokenizer, config.tokenizers)
        if experiment.corpus is not None:
            _check_reference(f"experiments.{name}.corpus", "corpus", experiment.corpus, config.corpora)
    return config


def load(file: Path) -> Config:
    """The validated config in a YAML file."""
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file}: cannot be read as a YAML file: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UserError(f"{file}: holds {type(data).__name__}, but a config is a mapping of keys to values")
    return read(data)


def merge(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """`child` over `parent`: mappings merge key by key, anything else is replaced.

    A mapping of another kind (`family: lstm` over `family: transformer`) replaces its parent whole: the keys of the one
    mean nothing to the other.
    """
    if any(key in parent and key in child and parent[key] != child[key] for key in KINDS):
        return dict(child)
    merged = dict(parent)
    for key, value in child.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _resolve_extends(entries: Any, path: str) -> Any:
    """Every entry of a named section merged over those that it extends; sections of another form are left to validation."""
    if not isinstance(entries, Mapping):
        return entries
    return {name: _extended(entries, str(name), path, ()) for name in entries}


def _extended(entries: Mapping[str, Any], name: str, path: str, below: tuple[str, ...]) -> Any:
    entry = entries[name]
    if not isinstance(entry, Mapping) or "extends" not in entry:
        return entry
    own = {key: value for key, value in entry.items() if key != "extends"}
    parent = entry["extends"]
    where = f"{path}.{name}.extends"
    if not isinstance(parent, str):
        raise UserError(f"{where}: should be the name of another entry of {path}, not {parent!r}")
    if parent in (*below, name):
        raise UserError(f"{where}: goes in a circle: {' -> '.join([*below, name, parent])}")
    _check_reference(where, "entry", parent, entries)
    above = _extended(entries, parent, path, (*below, name))
    return merge(above, own) if isinstance(above, Mapping) else above


def _check_reference(where: str, what: str, name: str, existing: Mapping[str, Any]) -> None:
    if name not in existing:
        raise UserError(unknown(where, what, name, existing))


def schema() -> dict[str, Any]:
    """The JSON schema of a config file; entries of named sections may also hold `extends`."""
    document = TypeAdapter(Config).json_schema()
    for section in ("corpora", "tokenizers", "experiments"):
        named = document["properties"][section]["patternProperties"]
        for pattern, entry in named.items():
            named[pattern] = {"anyOf": [{"$ref": "#/$defs/Extending"}, entry]}
    document["$defs"]["Extending"] = {
        "type": "object",
        "properties": {"extends": {"type": "string", "description": "The entry of this section to start from."}},
        "required": ["extends"],
    }
    return document


if __name__ == "__main__":
    import sys

    json.dump(schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
