"""Bayesian search in the unit cube, by Optuna: what to try next in the light of what was tried.

The cube lies behind the inverse distributions, so that every kind of parameter is searched alike: a Gaussian process (`gp`) with
the expected improvement, or a tree-structured Parzen estimator (`tpe`, Bergstra et al. 2011).
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from stages.lm.sweeps.draws import Point, Space, Unit, at, free

Engine = Literal["gp", "tpe"]
TRIES = 20
"""How often a proposal that was tried before is made anew, for each that is wanted."""


class Seen(NamedTuple):
    """A point that was tried, and what it cost: less is better."""

    point: Point
    cost: float


def propose(space: Space, seen: Sequence[Seen], count: int, engine: Engine, seed: int) -> list[Point]:
    """Up to `count` points that differ from each other and from all that were seen; fewer where the space holds no more.

    The same arguments give the same points.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    axes: dict[str, Any] = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in free(space)}
    study = optuna.create_study(sampler=_sampler(engine, seed + len(seen)))
    for one in seen:
        study.add_trial(optuna.trial.create_trial(params=one.point.unit, distributions=axes, value=one.cost))
    costs, found = {one.point.key: one.cost for one in seen}, dict[str, Point]()
    for _ in range(TRIES * count):
        asked = study.ask(axes)
        unit: Unit = {name: float(value) for name, value in asked.params.items()}
        point = at(space, unit)
        if point.key in costs:
            study.tell(asked, costs[point.key])  # the same values from another place in the cube
        elif point.key not in found:
            found[point.key] = point
        if len(found) == count:
            break
    return list(found.values())


def _sampler(engine: Engine, seed: int) -> Any:
    from optuna import samplers

    if engine == "gp":
        return samplers.GPSampler(seed=seed, n_startup_trials=1)
    return samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True, constant_liar=True)
