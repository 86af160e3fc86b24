"""Settings of the word vectors: what a config file may say under `model`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from stages.lm.settings import Settings


class VectorSettings(Settings):
    """What both ways to learn word vectors share."""

    trained_by: ClassVar[Literal["counting", "gradient"]] = "gradient"
    learns_from: ClassVar[Literal["contexts"]] = "contexts"
    task: ClassVar[Literal["vectors"]] = "vectors"

    d_model: PositiveInt
    """Width of the vectors."""
    window: PositiveInt = 5
    """The context of a token: at most so many on either side; for each token a number from 1 to this is drawn."""
    negatives: PositiveInt = 5
    """Tokens drawn as noise for each prediction."""
    noise_power: Annotated[float, Field(ge=0, le=1)] = 0.75
    """Noise is drawn in proportion to the tokens' counts to this power."""
    subsample: PositiveFloat | None = 1e-3
    """A token of relative frequency f is read with probability sqrt(subsample / f), if that is less than 1; null reads all."""


class SkipGramSettings(VectorSettings):
    """Skip-gram with negative sampling: a token predicts each token of its context (Mikolov et al. 2013)."""

    family: Literal["skipgram"]


class CbowSettings(VectorSettings):
    """A continuous bag of words: the mean of a token's context predicts it (Mikolov et al. 2013)."""

    family: Literal["cbow"]
