"""The examples of a task, and the files that hold them.

A task file is JSONL, one example in each line, or YAML, a list of examples. An example has choices, of which one is right,

    {"context": "The sun rises in the", "choices": [" east.", " west."], "answer": 0, "level": "easy"}

or is a minimal pair of texts, of which the first is better (Warstadt et al. 2020, "BLiMP"):

    {"good": "The cats are asleep.", "bad": "The cats is asleep."}

Each choice follows right after the context, with the space that belongs there. The level is what the example's results are put
together by, its difficulty for example.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, model_validator

from stages.lm.errors import UserError
from stages.lm.settings import Settings, parse

Level = str | int


@dataclass(frozen=True)
class Example:
    """Texts that begin with the same context and go on with different choices, of which one is right."""

    context: str
    choices: tuple[str, ...]
    answer: int
    """The place of the right choice."""
    level: str = ""

    @property
    def texts(self) -> list[str]:
        """The whole text of each choice."""
        return [self.context + choice for choice in self.choices]


class ChoiceLine(Settings):
    """An example with choices, as a file has it."""

    context: str = ""
    choices: list[str] = Field(min_length=2)
    answer: int = Field(ge=0)
    level: Level = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_choices("choices", self.context, self.choices)
        if self.answer >= len(self.choices):
            raise ValueError(f"answer: is {self.answer}, but the choices have the numbers 0 to {len(self.choices) - 1}")
        return self

    def example(self) -> Example:
        return Example(self.context, tuple(self.choices), self.answer, str(self.level))


class PairLine(Settings):
    """A minimal pair, as a file has it."""

    context: str = ""
    good: str
    bad: str
    level: Level = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_choices("good and bad", self.context, [self.good, self.bad])
        return self

    def example(self) -> Example:
        return Example(self.context, (self.good, self.bad), 0, str(self.level))


def _check_choices(what: str, context: str, choices: list[str]) -> None:
    if len(set(choices)) < len(choices):
        raise ValueError(f"{what}: two are the same; no model can tell them apart")
    if not all(context + choice for choice in choices):
        raise ValueError(f"{what}: one is an empty text")
    try:
        "".join([context, *choices]).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what}: hold one half of a surrogate pair, which is no text") from None


def read_examples(path: Path) -> list[Example]:
    """The examples of a task file. Raises UserError naming the file, the line and the key of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; name a task file of type .jsonl, .yaml or .yml") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text; a task file is JSONL or YAML") from None
    if path.suffix not in (".jsonl", ".yaml", ".yml"):
        raise UserError(f"{path}: is of no known type; a task file ends in .jsonl, .yaml or .yml")
    lines = _json_lines(path, text) if path.suffix == ".jsonl" else _yaml_lines(path, text)
    examples = [_example(path, line, value) for line, value in lines]
    if not examples:
        raise UserError(f"{path}: has no examples; give it one in each line (.jsonl) or a list of them (.yaml)")
    return examples


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """The values of a JSONL file, each with the number of its line."""
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: JSON may hold other line separators
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}, line {number}: is not valid JSON: {error.msg} at column {error.colno}") from None


def _yaml_lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """The items of the list in a YAML file, each with the number of the line where it begins."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        if root is None:
            return
        if not isinstance(root, yaml.SequenceNode):
            raise UserError(f"{path}, line {root.start_mark.line + 1}: is no list; a task file is a list of examples")
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # characters that YAML does not know; a date that is none
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{where}: is not valid YAML: {problem}") from None
    yield from zip((node.start_mark.line + 1 for node in root.value), values, strict=True)


def _example(path: Path, line: int, value: Any) -> Example:
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {line}: is no mapping; an example has the keys choices and answer, or good and bad")
    kind: type[ChoiceLine | PairLine] = PairLine if {"good", "bad"} & value.keys() else ChoiceLine
    try:
        return parse(kind, value, "").example()
    except UserError as error:
        raise UserError(f"{path}, line {line}: {str(error).removeprefix('settings: ')}") from None
