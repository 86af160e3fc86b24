"""Settings of an export: what a config file may say under `export`."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from stages.lm.settings import Settings

SAMPLING = ("temperature", "top_k", "top_p")
"""What only models that write at random have a use for."""


class ExportSettings(Settings):
    """The form of a model for Hugging Face transformers, and how its `generate` samples unless it is told otherwise."""

    layout: Literal["auto", "custom"] = "auto"
    """auto: one of transformers' own models where it computes the same, otherwise a model whose code lies in the folder; custom:
    always the latter, to change that code, which decoders alone have."""
    temperature: NonNegativeFloat = 1.0
    """Logits are divided by this; 0 always takes the most probable token."""
    top_k: PositiveInt | None = None
    """Only the k most probable tokens are kept; null keeps all."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Only the most probable tokens that together reach this mass are kept; null keeps all."""
