"""The settings of decoding."""

from typing import Literal

from pydantic import Field

from stages.lm.settings import Settings


class DecodingSettings(Settings):
    """What is generated, and how the next token is chosen: repetition penalty, temperature, top-k, top-p, in this order."""

    prompts: list[str] = Field(default=[""], min_length=1)
    """The beginnings of the texts; an empty one leaves the whole document to the model."""
    samples: int = Field(default=1, ge=1)
    """Texts for each prompt."""
    max_tokens: int = Field(default=256, ge=1)
    """Most tokens that are generated for a text, unless the model ends it before."""
    temperature: float = Field(default=0.8, ge=0.0)
    """Log-probabilities are divided by this; 0 always takes the most probable token."""
    top_k: int | None = Field(default=None, ge=1)
    """Only the k most probable tokens are kept; null keeps all."""
    top_p: float | None = Field(default=0.9, gt=0.0, le=1.0)
    """Only the most probable tokens that together reach this mass are kept; null keeps all."""
    repetition_penalty: float = Field(default=1.2, ge=1.0)
    """How much tokens of the recent text are penalised; 1 is not at all."""
    repetition_window: int = Field(default=10, ge=0)
    """How many of the last tokens are the recent text, the prompt's included."""
    seed: int = Field(default=0, ge=0)
    """Together with the number of the prompt and of the sample it determines a text, whatever else is generated beside it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    threads: int = Field(default=2, ge=1)
    """Processor threads of the model; a fixed number, because the order of floating-point sums depends on it."""
