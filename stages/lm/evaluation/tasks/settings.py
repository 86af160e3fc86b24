"""The settings of tasks: from a file, or made from the toy grammar."""

from typing import Annotated, Literal

from pydantic import Field

from stages.lm.settings import Settings


class FileTask(Settings):
    """A task whose examples are in a file."""

    source: Literal["file"]
    path: str
    """A .jsonl or .yaml file of examples."""


class GrammarTask(Settings):
    """A task made from the grammar of the toy corpus, at several difficulties; the grammar rules out what is wrong."""

    source: Literal["grammar"]
    about: Literal["agreement", "coreference", "state"]
    """agreement: forms of articles and pronouns, next to the word that they belong to or far from it. coreference: which thing,
    place or person is meant. state: who has the thing now, and where it was left."""
    examples: int = Field(default=100, ge=1)
    """Examples of each difficulty."""
    seed: int = Field(default=0, ge=0)
    """Seed of the stories, which are others than those of a corpus with any seed."""


TaskSettings = Annotated[FileTask | GrammarTask, Field(discriminator="source")]
