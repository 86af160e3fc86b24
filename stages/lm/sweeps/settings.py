"""The W&B sweep file: https://docs.wandb.ai/models/sweeps/sweep-config-keys, and the JSON schema in W&B's package `sweeps` 0.3.0.

What speaks to W&B alone (`program`, `command`, `project`, ...) is accepted and means nothing here.
"""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, StringConstraints, model_validator

from stages.lm import script
from stages.lm.errors import UserError
from stages.lm.settings import Settings, parse

Number = int | float

KEYS: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
    "int_uniform": ("min", "max"),
    "uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "log_uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "q_log_uniform": ("min", "max", "q"),
    "q_log_uniform_values": ("min", "max", "q"),
    "inv_log_uniform": ("min", "max"),
    "inv_log_uniform_values": ("min", "max"),
    "normal": ("mu", "sigma"),
    "q_normal": ("mu", "sigma", "q"),
    "log_normal": ("mu", "sigma"),
    "q_log_normal": ("mu", "sigma", "q"),
    "beta": ("a", "b"),
    "q_beta": ("a", "b", "q"),
}
"""What describes each distribution."""

DEFAULTS = {"mu": 0.0, "sigma": 1.0, "q": 1.0, "a": 1.0, "b": 1.0}
"""Keys that may be left out."""

Distribution = Literal[
    "constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform", "q_uniform", "log_uniform",
    "log_uniform_values", "q_log_uniform", "q_log_uniform_values", "inv_log_uniform", "inv_log_uniform_values", "normal",
    "q_normal", "log_normal", "q_log_normal", "beta", "q_beta",
]  # fmt: skip

TEXT_FOR_YAML = re.compile(r"[+-]?\d+[eE][+-]?\d+")
"""Numbers that YAML 1.1 takes for text."""


class Parameter(Settings):
    """What one parameter may be: a value, one of several, or a draw from a distribution."""

    distribution: Distribution
    """Which one; by default what the other keys say."""
    value: Any = None
    """constant: always this."""
    values: list[Any] | None = Field(default=None, min_length=1)
    """categorical: one of these."""
    probabilities: list[Annotated[float, Field(ge=0)]] | None = None
    """categorical_w_probabilities: how likely each is."""
    min: Number | None = None
    """The lower end: of the values, or of their logarithms where the name does not end in `_values`."""
    max: Number | None = None
    """The upper end."""
    mu: Number | None = None
    """normal: the mean; log_normal: of the logarithm."""
    sigma: Annotated[Number, Field(ge=0)] | None = None
    """The standard deviation that belongs to it."""
    a: PositiveFloat | None = None
    """beta: the first shape."""
    b: PositiveFloat | None = None
    """beta: the second shape."""
    q: Annotated[Number, Field(gt=0)] | None = None
    """Distributions with q: values are rounded to multiples of it."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """The distribution that the keys imply, and the keys that may be left out."""
        if not isinstance(data, dict):
            return data
        for key, value in data.items():
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and TEXT_FOR_YAML.fullmatch(text):
                    raise ValueError(f"{key}: YAML takes {text} for text, and so does W&B; write {re.sub('[eE]', '.0e', text)}")
        chosen = data.get("distribution", _implied(data))
        if chosen is None:
            raise ValueError("says nothing of its values; give value, values, min and max, or distribution")
        own = {key: default for key, default in DEFAULTS.items() if key in KEYS.get(chosen, ())}
        return own | data | {"distribution": chosen}

    @model_validator(mode="after")
    def _check(self) -> Self:
        keys, given = KEYS[self.distribution], self.model_fields_set - {"distribution"}
        if missing := [key for key in keys if key not in given]:
            raise ValueError(f"distribution {self.distribution} needs {', '.join(missing)}")
        if foreign := sorted(given - set(keys)):
            raise ValueError(
                f"{', '.join(foreign)}: means nothing to distribution {self.distribution}, which has {', '.join(keys)}"
            )
        if self.min is not None and self.max is not None:
            if self.min >= self.max:
                raise ValueError(f"min {self.min} is not less than max {self.max}")
            if self.distribution.endswith("_values") and self.min <= 0:
                raise ValueError(f"min {self.min} has no logarithm; give one above 0")
        if self.distribution == "int_uniform" and not (isinstance(self.min, int) and isinstance(self.max, int)):
            raise ValueError(
                f"distribution int_uniform is over integers; write min and max as such, not {self.min} and {self.max}"
            )
        if self.values is not None and self.probabilities is not None:
            if len(self.values) != len(self.probabilities):
                raise ValueError(f"has {len(self.values)} values but {len(self.probabilities)} probabilities")
            if not math.isclose(sum(self.probabilities), 1):
                raise ValueError(f"probabilities sum to {sum(self.probabilities):g} instead of 1")
        return self

    def resolved(self) -> dict[str, Any]:
        """Its distribution with what describes it."""
        whole = super().resolved()
        return {"distribution": self.distribution} | {key: whole[key] for key in KEYS[self.distribution]}


def _implied(data: dict[str, Any]) -> str | None:
    """The distribution of a parameter that names none, as W&B chooses it; None if the keys do not tell."""
    if "value" in data:
        return "constant"
    if "values" in data:
        return "categorical_w_probabilities" if "probabilities" in data else "categorical"
    if "min" in data or "max" in data:
        return "uniform" if any(isinstance(data.get(end), float) for end in ("min", "max")) else "int_uniform"
    return None


class Metric(Settings):
    """What a sweep searches the best value of."""

    name: Literal["validation_loss", "loss"]
    """A number that training logs, in nats per token."""
    goal: Literal["minimize", "maximize"] = "minimize"
    target: Number | None = None
    """bayes: nothing more is proposed once a trial is as good as this."""
    impute: Literal["worst", "best", "latest"] = "worst"
    """bayes: what a trial without a result counts as: the worst or the best of the others, or its own last value."""
    impute_while_running: Literal["worst", "best", "latest", "false"] = "false"
    """Means nothing here: rounds end before the next begins."""

    def cost(self, value: float) -> float:
        """The value such that less is better."""
        return -value if self.goal == "maximize" else value


class Hyperband(Settings):
    """Stopping trials early: at each rung the best of them go on. Li et al. 2018, "Hyperband"; rungs are steps of training."""

    type: Literal["hyperband"]
    min_iter: PositiveInt | None = None
    """The first rung; each is `eta` times the one before."""
    max_iter: PositiveInt | None = None
    """Where rungs are counted back from: max_iter / eta, max_iter / eta^2, ..."""
    s: PositiveInt | None = None
    """How many rungs are counted back from `max_iter`."""
    eta: Annotated[Number, Field(gt=1)] = 3
    """One in so many goes on."""
    strict: bool = True
    """Whether trials are compared by their value at the rung; if not, by the best that they have had."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_iter is None and (self.max_iter is None or self.s is None):
            raise ValueError("give min_iter, or max_iter and s")
        return self


ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class SweepFile(Settings):
    """A whole sweep file."""

    method: Literal["grid", "random", "bayes"]
    """grid: every combination of listed values; random: independent draws; bayes: what earlier trials make promising."""
    parameters: dict[ParameterName, Parameter] = Field(min_length=1)
    """By dotted path, like training.learning_rate; nested `parameters` become such paths."""
    metric: Metric | None = None
    early_terminate: Hyperband | None = None
    run_cap: PositiveInt | None = None
    """How many trials there are at most."""
    apiVersion: str | None = None
    kind: Literal["sweep"] | None = None
    name: str | None = None
    description: str | None = None
    program: str | None = None
    command: list[Any] | None = None
    controller: dict[str, Any] | None = None
    project: str | None = None
    entity: str | None = None
    job: str | None = None
    image_uri: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("parameters"), dict):
            return data
        return data | {"parameters": flat(data["parameters"])}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.method == "bayes" and self.metric is None:
            raise ValueError("metric: method bayes needs one; give its name and goal")
        if self.early_terminate is not None and self.metric is None:
            raise ValueError("metric: early_terminate needs one; give its name and goal")
        if self.method != "grid" and self.run_cap is None:
            raise ValueError(f"run_cap: method {self.method} has no end of its own; say how many trials there are")
        return self


def flat(parameters: dict[Any, Any], above: str = "") -> dict[str, Any]:
    """Nested parameters by dotted path, in the order in which W&B's engine goes through them: sorted at each level."""
    found: dict[str, Any] = {}
    for name, entry in sorted(parameters.items(), key=lambda item: str(item[0])):
        if isinstance(entry, dict) and isinstance(entry.get("parameters"), dict):
            found |= flat(entry["parameters"], f"{above}{name}.")
        else:
            found[f"{above}{name}"] = entry
    return found


def load(file: Path) -> SweepFile:
    """The sweep in a YAML file. Raises UserError naming the file and the key."""
    data = script.read_settings(str(file))
    if "metrics" in data or "scheduler" in data or data.get("method") == "custom":
        raise UserError(f"{file}: method custom, metrics and scheduler need W&B's own services; use grid, random or bayes")
    try:
        return parse(SweepFile, data, "")
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
