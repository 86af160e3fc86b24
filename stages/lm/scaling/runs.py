"""The trainings of a scaling study: several sizes at each of several budgets, and then the larger one that their fits ask for.

A budget is C = 6 N D: two operations for each parameter and token, in three passes (Kaplan et al. 2020, section 2.1). N are the
parameters in the matrices of the blocks, counted exactly: 12 layers d_model^2, but for rounding, where the ratios of `shape` are
those it has by default. Embeddings, norms, the output layer and attention's scores are in neither N nor C.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from stages.lm.errors import UserError
from stages.lm.models.block_settings import GATED
from stages.lm.models.settings import TransformerSettings
from stages.lm.settings import Settings
from stages.lm.sweeps.trials import Request, train_settings
from stages.lm.training.settings import TrainSettings

SIZE, STEPS, RATE = "model.shape.parameters", "training.steps", "training.learning_rate"
"""What a study varies of its experiment."""

LEAST_STEPS = 20
"""Fewer steps are no training, and a whole number of them is too far from the budget."""

Method = Literal["lowest", "parabola", "parametric"]
"""How the best size for a budget is found."""


class ScalingStudy(Settings):
    """Scaling laws: models of several sizes trained at equal FLOPs, fits, and a larger training that puts them to the test."""

    kind: Literal["scaling"]
    budgets: list[PositiveFloat] = Field(min_length=3, max_length=12)
    """FLOPs of the trainings that are fitted, ascending. C = 6 N D: N parameters in the matrices of the blocks, D tokens."""
    sizes: list[PositiveInt] | list[list[PositiveInt]] = Field(min_length=3)
    """N of the models at every budget, or a list of them for each budget; the nearest that the experiment's `shape` gives."""
    predict: PositiveFloat
    """FLOPs of the training that is predicted and then made, more than any budget."""
    size_by: Method = "parabola"
    """By which power law its size is chosen: that through the lowest run of each budget, through the minimum of a parabola, or of
    L = E + A / N^alpha + B / D^beta. The loss is always predicted by the last."""
    learning_rate_power: float = 0.0
    """The learning rate is that of the experiment times (d_model / the experiment's d_model)^this; 0 is the same for all."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.budgets) != sorted(set(self.budgets)):
            raise ValueError(f"budgets {self.budgets}: should rise from each to the next")
        if self.predict <= self.budgets[-1]:
            raise ValueError(f"predict {self.predict:g}: should be more than the largest budget, {self.budgets[-1]:g}")
        if isinstance(self.sizes[0], list) and len(self.sizes) != len(self.budgets):
            raise ValueError(
                f"sizes: has {len(self.sizes)} lists for {len(self.budgets)} budgets; give one for each, or one for all"
            )
        if any(len(set(sizes)) < 3 for _, sizes in self.grid):
            raise ValueError("sizes: a minimum needs three different sizes at every budget; give more")
        return self

    @property
    def grid(self) -> list[tuple[float, list[int]]]:
        """Each budget with its sizes."""
        sizes: Any = self.sizes if isinstance(self.sizes[0], list) else [self.sizes] * len(self.budgets)
        return list(zip(self.budgets, sizes, strict=True))


class ScalingSettings(ScalingStudy):
    """All that determines what a study trains."""

    base: dict[str, Any]
    """`model` and `training` of the experiment, as its config has them."""


@dataclass(frozen=True)
class Run:
    """One training of a study."""

    budget: float
    parameters: Mapping[str, Any]
    """Values for the experiment, at dotted paths."""
    settings: TrainSettings

    @classmethod
    def of(cls, study: ScalingSettings, budget: float, parameters: Mapping[str, Any]) -> Self:
        return cls(budget, parameters, train_settings(study.base, parameters))

    @cached_property
    def size(self) -> int:
        """N: parameters in the matrices of the blocks."""
        return matrices(self.settings)

    @property
    def tokens(self) -> int:
        """D: how many tokens are seen, those seen again included."""
        return self.settings.training.steps * tokens_per_step(self.settings)

    @property
    def compute(self) -> float:
        """6 N D: the budget, to a whole number of steps."""
        return 6.0 * self.size * self.tokens


def transformer(settings: TrainSettings) -> TransformerSettings:
    """The model of a training. Raises UserError for one that is no decoder of blocks."""
    if not isinstance(settings.model, TransformerSettings):
        raise UserError(f"its model is of family {settings.model.family}; sizes are counted of the family transformer")
    return settings.model


def matrices(settings: TrainSettings) -> int:
    """How many parameters are in the matrices of the blocks."""
    model = transformer(settings)
    attention = 2 * model.d_model * (model.heads + model.key_value_heads) * model.head_width  # queries, output; keys, values
    feed_forward = (3 if model.feed_forward in GATED else 2) * model.d_model * model.feed_forward_width
    return model.layers * (attention + feed_forward)


def tokens_per_step(settings: TrainSettings) -> int:
    return settings.training.batch_size * transformer(settings).context_length


def planned(study: ScalingSettings, budget: float, size: float) -> Run:
    """The training of a model of about that size for a budget. Raises UserError where the experiment allows none."""
    shaped: dict[str, Any] = {SIZE: round(size)}
    settings = train_settings(study.base, shaped)
    steps = round(budget / (6 * matrices(settings) * tokens_per_step(settings)))
    if steps < LEAST_STEPS:
        raise UserError(
            f"{budget:g} FLOPs are {steps} steps for {round(size):,} parameters, and less than {LEAST_STEPS} are no training; "
            "give smaller sizes, a larger budget, or a smaller training.batch_size"
        )
    rate = {RATE: _learning_rate(study, settings)} if study.learning_rate_power else {}
    return Run.of(study, budget, shaped | {STEPS: steps} | rate)


def _learning_rate(study: ScalingSettings, settings: TrainSettings) -> float:
    """By the rule of the study, to four digits."""
    base = train_settings(study.base, {})
    wider = transformer(settings).d_model / transformer(base).d_model
    return float(f"{base.training.learning_rate * wider**study.learning_rate_power:.4g}")


def grid(study: ScalingSettings) -> list[Run]:
    """The trainings that are fitted, budget by budget."""
    return [planned(study, budget, size) for budget, sizes in study.grid for size in sizes]


def first(study: ScalingSettings) -> list[Request]:
    """The first round: all trainings that are fitted."""
    return [Request(number=number, parameters=dict(run.parameters)) for number, run in enumerate(grid(study))]


def check(study: ScalingSettings) -> None:
    """Raise UserError where the experiment cannot be made to these sizes, or a budget is too small for one of them."""
    base = train_settings(study.base, {})
    transformer(base)
    if study.base["model"].get("shape") is None:
        raise UserError("its model has no `shape`; say `shape: {parameters: N}` in place of layers, heads and d_model")
    if base.training.start is not None:
        raise UserError(f"it starts from {base.training.start}, whose size is fixed; name one without training.start")
    runs = grid(study)
    for budget in study.budgets:
        asked: dict[int, int] = {}
        for run in (run for run in runs if run.budget == budget):
            size = run.parameters[SIZE]
            if run.size in asked:
                raise UserError(f"sizes {asked[run.size]:,} and {size:,} give the same model of {run.size:,}; move them apart")
            asked[run.size] = size
