"""What a sweep tries next: a function of its settings and of what came of the trials so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from stages.lm.errors import UserError
from stages.lm.settings import Settings
from stages.lm.sweeps.bayes import Engine, Seen, propose
from stages.lm.sweeps.draws import Point, free, grid, independent, quasi_random
from stages.lm.sweeps.halving import promoted, rungs
from stages.lm.sweeps.outcomes import Outcome
from stages.lm.sweeps.settings import Hyperband, Metric, Parameter, SweepFile
from stages.lm.sweeps.trials import Request, train_settings
from stages.lm.sweeps.trials import check as check_parameters


class Ours(Settings):
    """What a config says of a sweep beside its file, which W&B does not know."""

    seed: NonNegativeInt = 0
    """Seed of the draws, and of Bayesian search."""
    parallel: PositiveInt = 4
    """bayes: how many trials are proposed at once, to run beside each other."""
    engine: Engine = "gp"
    """bayes: gp is a Gaussian process with expected improvement; tpe a tree-structured Parzen estimator. Both by Optuna."""
    quasi_random: bool = False
    """random: draws that fill the space more evenly than independent ones."""


class SearchSettings(Ours):
    """All that determines what a sweep tries."""

    method: Literal["grid", "random", "bayes"]
    parameters: dict[str, Parameter]
    metric: Metric
    early_terminate: Hyperband | None = None
    run_cap: PositiveInt | None = None
    base: dict[str, Any]
    """`model` and `training` of the experiment, as its config has them."""

    @classmethod
    def of(cls, file: SweepFile, ours: Ours, base: dict[str, Any]) -> "SearchSettings":
        given = {name: getattr(file, name) for name in ("method", "parameters", "early_terminate", "run_cap")}
        own = {name: getattr(ours, name) for name in Ours.model_fields}
        return cls(**given, **own, metric=file.metric or Metric(name="validation_loss"), base=base)

    def resolved(self) -> dict[str, Any]:
        return super().resolved() | {"parameters": {name: entry.resolved() for name, entry in self.parameters.items()}}

    @property
    def is_settled(self) -> bool:
        """Whether the first round is the last."""
        return self.method != "bayes" and self.early_terminate is None


@dataclass
class Trial:
    """A point that is tried, and what came of it at each rung so far."""

    point: Point
    refused: str | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    def cost(self, metric: Metric) -> float:
        return self.outcomes[-1].cost(metric) if self.outcomes else math.inf


def check(search: SearchSettings) -> None:
    """Raise UserError where nothing could come of a sweep: by its parameters, its values, or the rungs of its trials."""
    check_parameters(search.parameters, search.base)
    requests = first(search)
    if all(request.refused is not None for request in requests):
        raise UserError(f"the experiment refuses every trial; the first one: {requests[0].refused}")
    for request in requests:
        if request.refused is None:
            training = train_settings(search.base, request.parameters).training
            key = "validate_every" if search.metric.name == "validation_loss" else "log_every"
            if request.until is not None and request.until < getattr(training, key):
                raise UserError(
                    f"early_terminate: the first rung is step {request.until}, when there is no {search.metric.name} yet; "
                    f"lower training.{key} ({getattr(training, key)}), or begin later"
                )


def first(search: SearchSettings) -> list[Request]:
    """The first round: for a grid and for random draws all trials. Raises UserError for a grid without end."""
    space, count = search.parameters, search.run_cap
    if search.method == "grid":
        points = grid(space)
    elif search.method == "random":
        points = (quasi_random if search.quasi_random else independent)(space, search.seed)
    else:
        points, count = quasi_random(space, search.seed), min(count or 1, max(search.parallel, 2 * len(free(space))))
    return [_new(search, number, point) for number, point in enumerate(islice(points, count))]


def following(search: SearchSettings, trials: Sequence[Trial]) -> list[Request]:
    """The next round in the light of all trials so far; nothing where the sweep is over."""
    going_on = _promotions(search, trials)
    costs = [trial.cost(search.metric) for trial in trials]
    target = search.metric.target
    left = (search.run_cap or 0) - len(trials)
    if going_on or search.method != "bayes" or left <= 0:
        return going_on
    if target is not None and min(costs) <= search.metric.cost(target):
        return []
    seen = [Seen(trial.point, cost) for trial, cost in zip(trials, _imputed(search.metric, trials), strict=True)]
    points = propose(search.parameters, seen, min(search.parallel, left), search.engine, search.seed)
    return [_new(search, len(trials) + index, point) for index, point in enumerate(points)]


def _new(search: SearchSettings, number: int, point: Point) -> Request:
    try:
        until = _next_rung(search, point, 0)
    except UserError as error:  # `check` has found what is never allowed
        return Request(number=number, parameters=point.parameters, unit=point.unit, refused=str(error))
    return Request(number=number, until=until, parameters=point.parameters, unit=point.unit)


def _next_rung(search: SearchSettings, point: Point, after: int) -> int | None:
    steps = train_settings(search.base, point.parameters).training.steps
    return next((rung for rung in rungs(search.early_terminate, steps) if rung > after), None)


def _promotions(search: SearchSettings, trials: Sequence[Trial]) -> list[Request]:
    """The trials that wait at a rung and are among the best there."""
    if search.early_terminate is None:
        return []
    found = []
    for rung in sorted({outcome.until for trial in trials for outcome in trial.outcomes if outcome.until is not None}):
        costs = {
            number: outcome.cost(search.metric, search.early_terminate.strict)
            for number, trial in enumerate(trials)
            for outcome in trial.outcomes
            if outcome.until == rung
        }
        for number in promoted(costs, float(search.early_terminate.eta)):
            trial = trials[number]
            if trial.outcomes[-1].until == rung:
                found.append(Request(number=number, until=_next_rung(search, trial.point, rung)))
    return found


def _imputed(metric: Metric, trials: Sequence[Trial]) -> list[float]:
    """The costs of all trials, with those that have none counted as the metric's `impute` says."""
    costs = [trial.cost(metric) for trial in trials]
    finite = [cost for cost in costs if math.isfinite(cost)] or [0.0]

    def impute(trial: Trial) -> float:
        latest = trial.outcomes[-1].last.get(metric.name) if trial.outcomes else None
        if metric.impute == "latest" and latest is not None:
            return metric.cost(latest)
        return min(finite) if metric.impute == "best" else max(finite)

    return [cost if math.isfinite(cost) else impute(trial) for trial, cost in zip(trials, costs, strict=True)]
