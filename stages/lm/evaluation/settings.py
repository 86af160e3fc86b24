"""The settings of an evaluation."""

from typing import Literal

from pydantic import Field

from stages.lm.settings import Settings


class EvaluationSettings(Settings):
    """What is measured. How many documents go through the model at once is no setting: it changes no result."""

    split: Literal["train", "valid", "test"] = "test"
    """The split of the corpus whose documents are predicted, all of them."""
    bootstrap_samples: int = Field(default=1000, ge=100)
    """How often the documents are drawn anew, with replacement, for the intervals."""
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    """The share of the resampled values that lies within an interval."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap's own generator."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    threads: int = Field(default=2, ge=1)
    """Processor threads of the model; a fixed number, because the order of floating-point sums depends on it."""
