"""How much of a sweep's outcome each parameter decides.

PED-ANOVA by Optuna (Watanabe, Bansal and Hutter 2023): how far the best quarter of the trials lies, along each parameter, from
where all of them lie. Beside it Spearman's rank correlation with the metric, where a parameter has an order.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.sweeps.draws import Space, free
from stages.lm.sweeps.search import Trial
from stages.lm.sweeps.settings import Metric

FEWEST = 5
"""Trials with a result below which nothing is said."""

BEST = 0.25
"""The share of the trials that count as the best."""


def importance(space: Space, metric: Metric, trials: Sequence[Trial]) -> dict[str, dict[str, float | None]]:
    """By parameter: its share of the importance of all (`share`), and the rank correlation with the metric (`correlation`)."""
    known = [trial for trial in trials if math.isfinite(trial.cost(metric))]
    names = [name for name in free(space) if len({trial.point.unit[name] for trial in known}) > 1]
    costs = [trial.cost(metric) for trial in known]
    if len(known) < FEWEST or not names or len(set(costs)) == 1:
        return {}
    shares = _ped_anova(names, known, costs)
    values = [trial.outcomes[-1].last[metric.name] for trial in known]
    return {name: {"share": shares[name], "correlation": _correlation(name, known, values)} for name in names}


def _ped_anova(names: Sequence[str], trials: Sequence[Trial], costs: Sequence[float]) -> dict[str, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    axes: dict[str, Any] = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names}
    study = optuna.create_study()
    for trial, cost in zip(trials, costs, strict=True):
        placed = {name: trial.point.unit[name] for name in names}
        study.add_trial(optuna.trial.create_trial(params=placed, distributions=axes, value=cost))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BEST)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(found.get(name, 0.0)) for name in names}


def _correlation(name: str, trials: Sequence[Trial], values: Sequence[float]) -> float | None:
    """Spearman's, of numbers; None where the values of the parameter have no order."""
    given = [trial.point.parameters[name] for trial in trials]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in given) or len(set(given)) == 1:
        return None
    return float(np.corrcoef(_ranks(given), _ranks(values))[0, 1])


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """The ranks of values; equal ones share the mean of theirs."""
    array = np.asarray(values, dtype=np.float64)
    return np.array([(array < value).sum() + (array == value).sum() / 2 for value in array])
