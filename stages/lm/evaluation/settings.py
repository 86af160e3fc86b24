"""The settings of an evaluation."""

from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from stages.lm.evaluation.tasks.settings import TaskSettings
from stages.lm.inference.settings import FillingSettings, NeighbourSettings, SearchSettings
from stages.lm.settings import Settings


class SplitSettings(Settings):
    """What every evaluation is told. How many documents go through the model at once is no setting: it changes no result."""

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


class CalibrationSettings(Settings):
    """Whether the model is as often right as it is sure: its most probable next tokens, in bins by their probabilities."""

    documents: int = Field(default=100, ge=1)
    """So many documents of the split, evenly spread, are guessed, each from its beginning as far as the context reaches."""
    bins: int = Field(default=15, ge=1)
    """Bins of equal width."""


class OverlapSettings(Settings):
    """How much of the split stands in the training text word for word."""

    n: int = Field(default=13, ge=1)
    """Tokens in a row that count as seen where the training text has the same."""


class EvaluationSettings(SplitSettings):
    """What is measured of a language model; of other models only what is said of the split and the intervals."""

    stride: PositiveInt | None = None
    """Tokens by which windows advance over a document that is longer than the context, half a context if not given. Fewer leave
    every token more before it to be predicted from, and take longer."""
    calibration: CalibrationSettings | None = CalibrationSettings()
    """null leaves it out."""
    overlap: OverlapSettings | None = OverlapSettings()
    """null leaves it out; the train split is never compared with itself."""
    tasks: dict[str, TaskSettings] = {}
    """Tasks by name, answered by likelihood."""

    @property
    def of_split(self) -> dict[str, Any]:
        """The part that every evaluation wants."""
        return {name: value for name, value in self.resolved().items() if name in SplitSettings.model_fields}


class TranslationEvaluationSettings(SplitSettings):
    """What is measured of a translator, and how its translations are found."""

    search: SearchSettings = SearchSettings()


class ClassificationSettings(Settings):
    """A small task made from the corpus: does a passage follow another? Learned from the trained weights and from scratch."""

    length: int = Field(default=32, ge=1)
    """Tokens of a passage; fewer where the context has no room for two."""
    steps: int = Field(default=200, ge=1)
    """Steps of fine-tuning."""
    batch_size: int = Field(default=32, ge=1)
    """Pairs of passages in each step."""
    learning_rate: PositiveFloat = 5e-4
    """The highest learning rate."""
    examples: int = Field(default=1000, ge=1)
    """Pairs of the evaluated split on which the accuracy is measured."""
    seed: int = Field(default=0, ge=0)
    """Seed of the examples and of the weights that are new."""


class MaskedMeasures(Settings):
    """What is measured of a model that fills in blanks, beside what is measured of every model."""

    documents: int = Field(default=100, ge=1)
    """In so many documents of the split, evenly spread, every token is hidden in turn."""
    classification: ClassificationSettings | None = ClassificationSettings()
    """null leaves the fine-tuning out."""


class MaskedEvaluationSettings(SplitSettings, MaskedMeasures):
    """The settings of the evaluate stage for a model that fills in blanks."""


class MaskedSettings(FillingSettings, MaskedMeasures):
    """What is measured of a model that fills in blanks, and which blanks it fills in for the report."""

    @property
    def measures(self) -> dict[str, Any]:
        """The part that the evaluate stage wants."""
        return {name: value for name, value in self.resolved().items() if name in MaskedMeasures.model_fields}

    @property
    def shown(self) -> dict[str, Any]:
        """The part that the decode stage wants."""
        return {name: value for name, value in self.resolved().items() if name in FillingSettings.model_fields}


class VectorMeasures(Settings):
    """What is measured of word vectors, beside their loss."""

    analogies: list[str] = []
    """Four words each, `a b c d`: b is to a as d is to c."""

    @model_validator(mode="after")
    def _check_analogies(self) -> Self:
        for analogy in self.analogies:
            if len(analogy.split()) != 4:
                raise ValueError(f"analogies: {analogy!r} should be four words, as in `man king woman queen`")
        return self


class VectorEvaluationSettings(SplitSettings, VectorMeasures):
    """The settings of the evaluate stage for word vectors."""


class VectorsSettings(NeighbourSettings, VectorMeasures):
    """What is measured of word vectors, and what of them the report shows."""

    @property
    def measures(self) -> dict[str, Any]:
        """The part that the evaluate stage wants."""
        return {name: value for name, value in self.resolved().items() if name in VectorMeasures.model_fields}

    @property
    def shown(self) -> dict[str, Any]:
        """The part that the decode stage wants."""
        return {name: value for name, value in self.resolved().items() if name in NeighbourSettings.model_fields}
