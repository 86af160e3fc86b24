"""Settings of training: what a config file may say under `training`."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from stages.lm.models.settings import ModelSettings, NgramSettings, TransformerSettings
from stages.lm.settings import Settings

Beta = Annotated[float, Field(ge=0, lt=1)]


class TrainingSettings(Settings):
    """Training by gradient descent; families trained by counting need none of it."""

    steps: PositiveInt = 1000
    """Number of optimizer steps."""
    batch_size: PositiveInt = 32
    """Sequences in each step."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon makes the steps of the matrices inside the model orthogonal, and is AdamW for the rest."""
    learning_rate: PositiveFloat = 1e-3
    """The highest learning rate, reached at the end of the warm-up."""
    min_learning_rate: NonNegativeFloat | None = None
    """The learning rate of the last step; by default a tenth of the highest."""
    warmup_steps: NonNegativeInt | None = None
    """Steps over which the learning rate rises from 0; by default 5 % of all steps."""
    weight_decay: NonNegativeFloat = 0.1
    """Decay of the matrices; norms and embeddings have none."""
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    """AdamW: how much of the mean gradient, and of the mean squared gradient, each step keeps."""
    eps: PositiveFloat = 1e-8
    """AdamW: added to the root of the mean squared gradient."""
    clip_norm: PositiveFloat = 1.0
    """Gradients of a larger global norm are scaled down to it."""
    seed: NonNegativeInt = 0
    """Seed of the initial weights and of the order of the data."""
    validate_every: PositiveInt = 100
    """Steps between measurements of the validation loss; the last step has one in any case."""
    validation_windows: PositiveInt = 64
    """How many sequences of the validation split, evenly spread, each measurement takes."""
    log_every: PositiveInt = 10
    """Steps between lines of metrics."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    threads: PositiveInt = 2
    """Threads for the arithmetic on a CPU. Part of the settings, since another number rounds differently."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the matrix products; weights and optimizer stay in fp32."""
    matmul_precision: Literal["highest", "high", "medium"] = "medium"
    """How exact fp32 matrix products have to be, as in torch.set_float32_matmul_precision; medium is fastest on CPUs."""
    compile: bool = False
    """Compile the model first (needs a C++ compiler); takes half a minute, and pays in long runs."""

    @model_validator(mode="after")
    def _check_schedule(self) -> "TrainingSettings":
        if self.warmup > self.steps:
            raise ValueError(f"warmup_steps {self.warmup} is more than steps {self.steps}; lower it")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate {self.final_learning_rate} is above learning_rate {self.learning_rate}; lower it"
            )
        return self

    @property
    def warmup(self) -> int:
        """`warmup_steps`, or its default."""
        return self.warmup_steps if self.warmup_steps is not None else self.steps // 20

    @property
    def final_learning_rate(self) -> float:
        """`min_learning_rate`, or its default."""
        return self.min_learning_rate if self.min_learning_rate is not None else self.learning_rate / 10


class TrainSettings(Settings):
    """Settings of the train and estimate stages."""

    model: ModelSettings
    training: TrainingSettings = TrainingSettings()

    def resolved(self) -> dict[str, Any]:
        return {"model": self.model.resolved(), "training": relevant_training(self.model, self.training)}


def relevant_training(model: TransformerSettings | NgramSettings, training: TrainingSettings) -> dict[str, Any]:
    """The resolved settings of training that determine a model: none for families trained by counting."""
    return training.resolved() if model.trained_by == "gradient" else {}
