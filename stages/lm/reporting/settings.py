"""The settings of a report: which artifacts belong to which experiment."""

from typing import Literal

from pydantic import Field

from stages.lm.settings import Settings

Stage = Literal["corpus", "bpe", "tokenize", "estimate", "train", "evaluate", "decode", "export"]


class ReportSettings(Settings):
    """What a report shows."""

    title: str = "Language models"
    """The page's heading."""
    experiments: dict[str, dict[Stage, str]] = Field(min_length=1)
    """The id (`<stage>/<folder>`) of each experiment's artifact of each stage; stages may be missing."""
    bases: dict[str, str] = {}
    """For an experiment that is a variant of another one, the name of that."""
    studies: dict[str, str] = {}
    """The id of each study's artifact."""
    sweeps: dict[str, str] = {}
    """The id of the last artifact of each sweep."""
