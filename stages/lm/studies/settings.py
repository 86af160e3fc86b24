"""Settings of the studies."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from stages.lm.models.settings import ModelSettings
from stages.lm.settings import Settings


class Initialisation(Settings):
    """How the recurrent matrices start."""

    recurrent_init: Literal["orthogonal", "normal"]
    """Orthogonal matrices times the gain, or entries from N(0, gain^2 / d_model)."""
    recurrent_gain: NonNegativeFloat
    """The spectral radius."""


class GradientStudy(Settings):
    """How much of the gradient of a loss reaches the states before it: one layer of each recurrent experiment's model."""

    kind: Literal["gradients"]
    initialisations: tuple[Initialisation, ...] = (
        Initialisation(recurrent_init="orthogonal", recurrent_gain=0.5),
        Initialisation(recurrent_init="orthogonal", recurrent_gain=1.0),
        Initialisation(recurrent_init="normal", recurrent_gain=1.0),
        Initialisation(recurrent_init="orthogonal", recurrent_gain=2.0),
    )
    """The starts that are compared."""
    distance: PositiveInt = 100
    """Steps from the loss back to the furthest state."""
    sequences: PositiveInt = 16
    """Sequences of the corpus over which the median is taken, and in each training step."""
    steps: PositiveInt = 100
    """Steps of training, by plain gradient descent, after which the gradient is measured again."""
    learning_rate: PositiveFloat = 10.0
    """Learning rate of these steps: high, so that what clipping is for can be seen."""
    clip_norm: PositiveFloat = 1.0
    """Gradients of a larger norm are scaled down to it; for comparison each training also runs without."""
    threads: PositiveInt = 1
    """Threads for the arithmetic on a CPU."""
    seed: NonNegativeInt = 0
    """Seed of weights and data."""


class ComplexityStudy(Settings):
    """What time and memory each experiment's model needs by the length of the text: one sequence, one thread on a CPU."""

    kind: Literal["complexity"]
    lengths: tuple[PositiveInt, ...] = Field(default=(64, 128, 256, 512, 1024, 2048), min_length=3, max_length=12)
    """Tokens of the sequences in training."""
    decoded: tuple[PositiveInt, ...] = Field(default=(32, 64, 128, 256, 384), min_length=3, max_length=12)
    """Tokens that are written one after the other."""
    rounds: PositiveInt = 3
    """Measurements of each number, of which the median counts; every round takes all of them in turn."""
    seed: NonNegativeInt = 0
    """Seed of weights and ids."""


class TokenizerStudy(Settings):
    """Tokenizers side by side: compression on every corpus, speed, and how long training takes on a growing text."""

    kind: Literal["tokenizers"]
    vocab_size: int = Field(default=500, ge=258)
    """Vocabulary of the byte-pair tokenizers whose training is timed: 256 bytes, an end-of-text token, merges."""
    sizes: tuple[PositiveInt, ...] = Field(
        default=(1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20), min_length=3, max_length=12
    )
    """Bytes of text that they learn from, ascending; a corpus that has less leaves the greatest ones out."""
    naive_bytes: PositiveInt = 1 << 18
    """The most text that the naive trainer gets: it looks at every word again for every merge."""
    documents: PositiveInt = 100
    """Documents of each corpus's validation split that every tokenizer encodes."""
    rounds: PositiveInt = 3
    """Measurements of each time, of which the median counts."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes {list(self.sizes)}: should rise from each to the next")
        if self.naive_bytes < self.sizes[2]:
            raise ValueError(f"naive_bytes {self.naive_bytes}: a line needs three points, so give at least {self.sizes[2]}")
        return self


class AccountingStudy(Settings):
    """What known models take by their shapes: parameters, operations, memory, days. Nothing is measured or trained."""

    kind: Literal["accounting"]
    memory_gb: PositiveFloat = 80.0
    """Memory of the device that GPT-2 XL is trained on, in 10^9 bytes."""
    peak_tflops: PositiveFloat = 19.5
    """Its peak in 10^12 operations a second; an A100 has this in float32."""
    utilisation: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The share of the peak that training reaches."""
    steps: PositiveInt = 400_000
    """Steps of that training."""
    batch_size: PositiveInt = 1024
    """Sequences of 1024 tokens in each step."""


Study = Annotated[GradientStudy | ComplexityStudy | TokenizerStudy | AccountingStudy, Field(discriminator="kind")]

NEEDS: dict[str, set[str]] = {
    "gradients": {"models", "tokens"},
    "complexity": {"models", "tokens"},
    "tokenizers": {"tokenizers", "corpora"},
    "accounting": set(),
}
"""The keys beside `study` that a study of each kind has."""


class StudySettings(Settings):
    """Settings of the study stage: what is measured, and on what; artifacts are named by their ids."""

    study: Study
    models: dict[str, ModelSettings] = {}
    """The models that a study of models is about."""
    tokens: str | None = None
    """The tokens that these models read."""
    tokenizers: dict[str, str] = {}
    """The tokenizers that a study of tokenizers is about."""
    corpora: dict[str, str] = {}
    """The corpora that these are compared on."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = NEEDS[self.study.kind]
        for key in ("models", "tokens", "tokenizers", "corpora"):
            if bool(getattr(self, key)) != (key in given):
                raise ValueError(f"{key}: a study of {self.study.kind} {'needs' if key in given else 'has no'} {key}")
        return self

    def resolved(self) -> dict[str, Any]:
        given = {
            "models": {name: model.resolved() for name, model in self.models.items()},
            "tokens": self.tokens,
            "tokenizers": dict(self.tokenizers),
            "corpora": dict(self.corpora),
        }
        return {"study": self.study.resolved()} | {key: value for key, value in given.items() if key in NEEDS[self.study.kind]}
