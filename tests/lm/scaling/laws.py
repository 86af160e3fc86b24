"""A scaling study whose trainings follow a known law, without training anything."""

from functools import cache
from typing import Any

import numpy as np

from stages.lm.scaling.findings import Findings, findings, row
from stages.lm.scaling.runs import Run, ScalingSettings, grid
from stages.lm.scaling.summary import numbers
from stages.lm.studies.scaling_laws import Parametric
from stages.lm.sweeps.outcomes import Outcome

LAW = Parametric(0.25, 40.0, 60.0, 0.45, 0.4)
MODEL = {"family": "transformer", "context_length": 32, "shape": {"parameters": 10_000, "d_head": 8}}
TRAINING = {"steps": 100, "batch_size": 4, "learning_rate": 1e-2, "threads": 1}


def study(**changes: Any) -> ScalingSettings:
    """Three sizes about the best one at each of four budgets, and a prediction at eight times the last."""
    budgets = [1e11, 2e11, 4e11, 8e11]
    sizes = [[round(LAW.optimal(budget)[0] * factor) for factor in (0.4, 1.0, 2.5)] for budget in budgets]
    settings = {"kind": "scaling", "budgets": budgets, "sizes": sizes, "predict": 6.4e12}
    return ScalingSettings.model_validate(settings | {"base": {"model": MODEL, "training": TRAINING}} | changes)


def trained(run: Run, noise: float = 0.0, **outcome: Any) -> dict[str, Any]:
    """A training of it, with a loss that is off the law by `noise`, or what `outcome` says."""
    loss = LAW.loss(run.size, run.tokens) * (1 + noise)
    found = {"state": "finished", "last": {"validation_loss": loss}, "flops": 2 * run.compute} | outcome
    return row(run, Outcome.model_validate(found)) | {"epochs": 0.5}


def measured(settings: ScalingSettings, scatter: float = 0.0) -> list[dict[str, Any]]:
    """All trainings at the budgets."""
    noise = np.random.default_rng(1).normal(0, scatter, len(grid(settings)))
    return [trained(run, float(each)) for run, each in zip(grid(settings), noise, strict=True)]


@cache
def standard() -> tuple[ScalingSettings, list[dict[str, Any]], Findings]:
    """A study of trainings with a little scatter, and what they say."""
    settings = study()
    rows = measured(settings, scatter=0.002)
    return settings, rows, findings(settings, rows)


def whole(**outcome: Any) -> dict[str, Any]:
    """The numbers of it with the predicted training made."""
    settings, rows, found = standard()
    last = trained(found.predicted, **outcome)
    return numbers(settings, found, rows, last) | {"experiment": "gpt", "floor": 0.24}
