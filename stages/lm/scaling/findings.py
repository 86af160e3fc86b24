"""What the trainings of a scaling study say together: minima, laws, and a prediction with its interval."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stages.lm.errors import UserError
from stages.lm.evaluation.bootstrap import Interval, interval
from stages.lm.scaling.runs import Method, Run, ScalingSettings, planned, transformer
from stages.lm.studies.power_law import PowerLaw, at, fit_power_law
from stages.lm.studies.scaling_laws import (
    Optimal,
    Parametric,
    Training,
    lowest,
    optimal,
    parabola,
    parametric,
    quadratic,
    resampled,
)
from stages.lm.sweeps.outcomes import Outcome

LEAST_RUNS = len(Parametric._fields) + 1
"""One more than the parametric law has unknowns."""
SAMPLES = 200
"""Bootstrap samples."""
CONFIDENCE = 0.95

BEST: dict[Method, Callable[[Sequence[Training]], float | None]] = {"lowest": lowest, "parabola": parabola}
"""How the best size at a budget is found."""

Row = Mapping[str, Any]
"""A training of the study as plain values."""


class Fitted(NamedTuple):
    """The parametric law, those of the bootstrap samples, and how far each training lies above it, in log loss.

    It lies nearer to the n trainings that it is fitted to than to others: distances are stretched by the root of n / (n - 5).
    """

    law: Parametric
    samples: list[Parametric]
    residuals: list[float]

    @classmethod
    def to(cls, trainings: Sequence[Training]) -> "Fitted":
        law, count = parametric(trainings), len(trainings)
        wider = (count / (count - len(Parametric._fields))) ** 0.5
        off = [wider * float(np.log(one.final_loss / law.loss(one.parameters, one.tokens))) for one in trainings]
        return cls(law, resampled(trainings, law, SAMPLES), off)

    def interval(self, number: Callable[[Parametric], float]) -> Interval:
        """What the law says of something, and how well this is known."""
        return interval(number(self.law), np.array([number(law) for law in self.samples]), CONFIDENCE)

    def prediction(self, parameters: float, tokens: float) -> Interval:
        """The loss of a new training: as uncertain as the law, and as scattered about it as the trainings behind it."""
        scatter = np.exp(np.random.default_rng(0).choice(self.residuals, len(self.samples)))
        losses = np.array([law.loss(parameters, tokens) for law in self.samples]) * scatter
        return interval(self.law.loss(parameters, tokens), losses, CONFIDENCE)

    def optimal(self) -> Optimal:
        """The best parameters and tokens as power laws, which they are exactly."""
        share = self.interval(lambda law: law.beta / (law.alpha + law.beta))
        parameters, tokens = self.law.optimal(1.0)
        return Optimal(
            {"factor": parameters, "exponent": share["value"], "low": share["low"], "high": share["high"]},
            {"factor": tokens, "exponent": 1 - share["value"], "low": 1 - share["high"], "high": 1 - share["low"]},
        )


@dataclass(frozen=True)
class Findings:
    """All that follows from the trainings at the budgets."""

    minima: list[dict[str, Any]]
    """For each budget its lowest training and the minimum of its parabola, where these are."""
    laws: dict[Method, Optimal]
    """The methods that there were points enough for."""
    fitted: Fitted
    lowest: PowerLaw | None
    """The lowest loss at a budget, without a floor."""
    predicted: Run | None
    """The training that comes next."""
    problem: str | None
    """Why there is none."""


def row(run: Run, outcome: Outcome) -> dict[str, Any]:
    """A training as plain values; its loss is None where it has none that can be compared."""
    model = transformer(run.settings)
    return {
        "budget": run.budget,
        "parameters": run.size,
        "layers": model.layers,
        "d_model": model.d_model,
        "learning_rate": run.settings.training.learning_rate,
        "steps": run.settings.training.steps,
        "tokens": run.tokens,
        "compute": run.compute,
        "flops": outcome.flops,
        "state": outcome.state,
        "loss": outcome.last.get("validation_loss") if outcome.state == "finished" else None,
        "message": outcome.message,
    }


def findings(study: ScalingSettings, rows: Sequence[Row]) -> Findings:
    """What the trainings at the budgets say. Raises UserError where they are too few for a fit."""
    usable = [row for row in rows if row["loss"] is not None]
    if len(usable) < LEAST_RUNS:
        raise UserError(f"{len(usable)} trainings have a loss, and a fit needs {LEAST_RUNS}")
    alike = [_training(row, row["budget"]) for row in usable]
    fitted = Fitted.to([_training(row, row["compute"]) for row in usable])
    laws: dict[Method, Optimal] = {}
    for method, best in BEST.items():
        with suppress(UserError):
            laws[method] = optimal(alike, best)
    laws["parametric"] = fitted.optimal()
    minima = [_minima(budget, [one for one in alike if one.compute_budget == budget]) for budget in study.budgets]
    losses = {found["budget"]: found["lowest"]["loss"] for found in minima if found["lowest"]}
    law = fit_power_law(list(losses), list(losses.values())) if len(losses) >= 3 else None
    try:
        return Findings(minima, laws, fitted, law, _next(study, laws), None)
    except UserError as error:
        return Findings(minima, laws, fitted, law, None, str(error))


def _training(row: Row, compute: float) -> Training:
    """With its budget for compute it has others beside it, with 6 N D its exact number of tokens."""
    return Training(parameters=row["parameters"], compute_budget=compute, final_loss=row["loss"])


def _minima(budget: float, trainings: Sequence[Training]) -> dict[str, Any]:
    found: dict[str, Any] = {"budget": budget, "lowest": None, "parabola": None}
    if trainings:
        size, sizes = lowest(trainings), [one.parameters for one in trainings]
        loss = min(one.final_loss for one in trainings)
        found["lowest"] = {"parameters": size, "loss": loss, "at_edge": size in (min(sizes), max(sizes))}
    if bottom := parabola(trainings):
        found["parabola"] = {"parameters": bottom, "loss": float(np.polyval(quadratic(trainings), np.log(bottom)))}
    return found


def _next(study: ScalingSettings, laws: Mapping[Method, Optimal]) -> Run:
    """The training at the final budget, of the size that the chosen law gives."""
    named = f"size_by {study.size_by}"
    if study.size_by not in laws:
        raise UserError(
            f"{named}: fewer than three budgets have a minimum between their smallest and largest size; give sizes about it, or "
            "another size_by"
        )
    law = laws[study.size_by].parameters
    if not 0 < law["exponent"] < 1:
        raise UserError(f"{named}: the best size goes with the power {law['exponent']:.2f} of compute, which is no law to follow")
    return planned(study, study.predict, at(law, study.predict))
