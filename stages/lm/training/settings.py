"""Settings of training: what a config file may say under `training`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from stages.lm.models import registry
from stages.lm.models.settings import ModelSettings
from stages.lm.settings import Settings
from stages.lm.training.schedule import constant_schedule, cosine_schedule, linear_schedule, wsd_schedule

IMPORTING = "stages.lm.hub.importing"
"""What reads the folder that a training starts from; loaded by name, so that all other trainings keep their code version."""

TRAINER = "stages.lm.training.trainer"
"""What hands the steps to Hugging Face's Trainer; loaded by name likewise."""

Beta = Annotated[float, Field(ge=0, lt=1)]


class TrainingSettings(Settings):
    """Training by gradient descent; families trained by counting need none of it."""

    steps: PositiveInt = 1000
    """Number of optimizer steps."""
    batch_size: PositiveInt = 32
    """Sequences in each step."""
    micro_batch_size: PositiveInt | Literal["auto"] | None = None
    """Sequences that go through the model at once, by default the whole batch; fewer need less memory and change the result by
    rounding only. auto: as many as the estimate says fit into the memory that is free when the run begins."""
    batches: Literal["epochs", "random", "documents"] = "epochs"
    """How a language model's windows are taken from the text. epochs: every window once an epoch, in an order of its own;
    random: windows from anywhere; documents: as epochs, but no token sees another document than its own."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon makes the steps of the matrices inside the model orthogonal, and is AdamW for the rest, with ten times the learning
    rate for embeddings that the output layer does not share."""
    learning_rate: PositiveFloat = 1e-3
    """The highest learning rate, reached at the end of the warm-up."""
    min_learning_rate: NonNegativeFloat | None = None
    """The learning rate of the last step; by default a tenth of the highest. Unused by the constant schedule."""
    warmup_steps: NonNegativeInt | None = None
    """Steps over which the learning rate rises from 0; by default 5 % of all steps."""
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """The learning rate after the warm-up. cosine and linear: falling to the last step; wsd: constant, and falling in the last
    `decay_steps`; constant: to the end."""
    decay_steps: PositiveInt | None = None
    """wsd: steps over which the learning rate falls, by default a fifth of all steps."""
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
    backend: Literal["loop", "trainer"] = "loop"
    """Who does the steps: our own loop, or the Trainer of Hugging Face transformers, with the same batches, learning rates, decay
    and clipping. The latter is for language models that learn from windows, in one process."""
    start: str | None = None
    """A folder of Hugging Face transformers with whose weights a decoder (`family: transformer`) starts instead of random ones: a
    decoder exported here, or a Llama. `model` describes the same model; the folder's tokenizer must be the one of the tokens."""
    validate_every: PositiveInt = 100
    """Steps between measurements of the validation loss; the last step has one in any case."""
    validation_windows: PositiveInt = 64
    """How many sequences of the validation split, evenly spread, each measurement takes."""
    log_every: PositiveInt = 10
    """Steps between lines of metrics."""
    activation_checkpointing: bool = False
    """Keep of every block only its input, and compute it again in the backward pass: less memory, a third more arithmetic, the
    same numbers."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    threads: PositiveInt = 2
    """Threads for the arithmetic on a CPU. Part of the settings, since another number rounds differently."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the matrix products; weights and optimizer stay in fp32."""
    matmul_precision: Literal["highest", "high", "medium"] = "medium"
    """How exact fp32 matrix products have to be, as in torch.set_float32_matmul_precision; medium is fastest on CPUs."""
    watch_every: PositiveInt | None = None
    """Steps between lines with the norms of activations, weights and gradients of every layer; by default there are none."""
    compile: bool | Literal["graphs", "auto"] = False
    """Compile the model first (needs a C++ compiler); takes half a minute, and pays in long runs. graphs: and let a GPU repeat
    recorded CUDA graphs, for small models. auto: if a few measured steps say, when the run begins, that it pays."""

    @model_validator(mode="after")
    def _check_schedule(self) -> "TrainingSettings":
        if self.warmup > self.steps:
            raise ValueError(f"warmup_steps {self.warmup} is more than steps {self.steps}; lower it")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate {self.final_learning_rate} is above learning_rate {self.learning_rate}; lower it"
            )
        if self.decay_steps is not None and self.schedule != "wsd":
            raise ValueError(f"decay_steps belong to the schedule wsd, not to {self.schedule}; change one of them")
        if self.schedule == "wsd" and self.warmup + self.decay > self.steps:
            raise ValueError(
                f"warmup_steps {self.warmup} and decay_steps {self.decay} are more than steps {self.steps}; lower one of them"
            )
        return self

    @model_validator(mode="after")
    def _check_backend(self) -> "TrainingSettings":
        if self.backend == "trainer" and self.compile:
            raise ValueError("compile: the backend trainer trains models as they are; leave it out, or take the backend loop")
        if self.backend == "trainer" and (self.micro_batch_size == "auto" or self.batch_size % self.micro_batch):
            raise ValueError(
                f"micro_batch_size: the backend trainer needs one that divides batch_size {self.batch_size}, not "
                f"{self.micro_batch_size}; change it"
            )
        return self

    @property
    def micro_batch(self) -> int:
        """`micro_batch_size`, or its default, which also stands for what is not chosen yet."""
        return min(self.micro_batch_size, self.batch_size) if isinstance(self.micro_batch_size, int) else self.batch_size

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of step 1, 2, ...: a decay ends with the last one."""
        highest, final, warmup, steps = self.learning_rate, self.final_learning_rate, self.warmup, self.steps
        match self.schedule:
            case "cosine":
                return cosine_schedule(step, highest, final, warmup, steps)
            case "linear":
                return linear_schedule(step, highest, final, warmup, steps)
            case "wsd":
                return wsd_schedule(step, highest, final, warmup, steps - self.decay, steps)
            case "constant":
                return constant_schedule(step, highest, warmup)

    @property
    def warmup(self) -> int:
        """`warmup_steps`, or its default."""
        return self.warmup_steps if self.warmup_steps is not None else self.steps // 20

    @property
    def decay(self) -> int:
        """`decay_steps`, or its default."""
        return self.decay_steps if self.decay_steps is not None else max(1, self.steps // 5)

    @property
    def final_learning_rate(self) -> float:
        """`min_learning_rate`, or its default."""
        return self.min_learning_rate if self.min_learning_rate is not None else self.learning_rate / 10


class TrainSettings(Settings):
    """Settings of the train and estimate stages."""

    model: ModelSettings
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.training.start is not None and self.model.family != "transformer":
            raise ValueError(
                f"training.start: only the family transformer can start from a folder, not {self.model.family}; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _check_windows(self) -> Self:
        learns_from = getattr(self.model, "learns_from", None)
        if self.training.backend == "trainer" and self.model.trained_by == "gradient" and learns_from != "windows":
            raise ValueError(
                f"training.backend: trainer trains language models on windows of text, and the family {self.model.family} learns "
                f"from {learns_from}; leave it out"
            )
        if self.model.family == "huggingface" and self.training.batches == "documents":
            raise ValueError("training.batches: the family huggingface does not keep documents apart; take epochs or random")
        return self

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that a training loads by name: its model's, what reads the folder that it starts from, Trainer's."""
        asked = {IMPORTING: self.training.start is not None, TRAINER: self.training.backend == "trainer"}
        return (registry.module_of(self.model.family), *(module for module, is_needed in asked.items() if is_needed))

    def resolved(self) -> dict[str, Any]:
        return {"model": self.model.resolved(), "training": relevant_training(self.model, self.training)}

    @property
    def left_open(self) -> list[str]:
        """The settings of training that the machine chooses when a run begins, and that this run keeps."""
        names = ("micro_batch_size", "compile") if self.model.trained_by == "gradient" else ()
        return [name for name in names if getattr(self.training, name) == "auto"]

    def with_training(self, changes: Mapping[str, Any]) -> Self:
        """These settings, with other values for some of training."""
        return self.model_copy(update={"training": self.training.model_copy(update=changes)})


def relevant_training(model: ModelSettings, training: TrainingSettings) -> dict[str, Any]:
    """The resolved settings of training that determine a model: none for families trained by counting."""
    return training.resolved() if model.trained_by == "gradient" else {}
