"""The trials that a round asks for and those that are made, and from the parameters of one to the settings of its training."""

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import NonNegativeInt, PositiveInt, ValidationError

from stages.lm.errors import UserError
from stages.lm.settings import Settings, explain
from stages.lm.sweeps.distributions import value_at
from stages.lm.sweeps.draws import Space
from stages.lm.sweeps.settings import Parameter
from stages.lm.training.settings import TrainSettings

VARIED = ("model", "training")
"""What a sweep may vary of an experiment."""

UNBOUNDED = ("normal", "log_normal", "q_normal", "q_log_normal")


class Request(Settings):
    """A trial to begin, or to go on with."""

    number: NonNegativeInt
    """Its place among the trials of the sweep."""
    until: PositiveInt | None = None
    """The step at which it pauses, None for its end."""
    parameters: dict[str, Any] = {}
    """Its values, where it is a new one."""
    unit: dict[str, float] = {}
    """Where these lie in the unit cube."""
    refused: str | None = None
    """Why there is nothing to run."""


class Tried(Settings):
    """A trial of all rounds so far."""

    parameters: dict[str, Any]
    unit: dict[str, float]
    """Where the parameters lie in the unit cube."""
    refused: str | None = None
    """Why it was not run."""
    outcomes: list[str] = []
    """The ids of its artifacts: one for each rung that it was to reach."""


class Refused(UserError):
    """Values that are right by themselves but do not go together: such a trial counts as failed, at no cost."""


def train_settings(base: Mapping[str, Any], parameters: Mapping[str, Any]) -> TrainSettings:
    """The settings of an experiment, `model` and `training` as its config has them, with other values at dotted paths.

    Raises Refused if they do not go together, UserError if one of them is wrong by itself.
    """
    data = copy.deepcopy(dict(base))
    for path, value in parameters.items():
        put(data, path, value)
    try:
        return TrainSettings.model_validate(data)
    except ValidationError as error:
        details = error.errors()
        kind = Refused if all(detail["type"] == "value_error" for detail in details) else UserError
        raise kind("; ".join(explain(TrainSettings, detail, "") for detail in details)) from None


def put(data: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a dotted path. Raises UserError where something without keys is on the way."""
    *above, last = path.split(".")
    place = data
    for key in above:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise UserError(f"{path}: {key} holds {place!r}, which has no keys")
    place[last] = value


def check(space: Space, base: Mapping[str, Any]) -> None:
    """Raise UserError for a parameter that the experiment does not have, or a value that it never allows there."""
    for name, parameter in space.items():
        if name.partition(".")[0] not in VARIED or "." not in name:
            raise UserError(
                f"parameters.{name}: a sweep varies model.… and training.… of its experiment, as training.learning_rate"
            )
        for value in _examples(parameter):
            try:
                train_settings(base, {name: value})
            except Refused:
                continue
            except UserError as error:
                raise UserError(f"parameters.{name}: {error}") from None


def _examples(parameter: Parameter) -> list[Any]:
    """All values of a list; of a range its ends and its middle, as far as it has them."""
    if parameter.values is not None:
        return parameter.values
    return [value_at(parameter, unit) for unit in ((0.5,) if parameter.distribution in UNBOUNDED else (0.0, 0.5, 1.0))]
