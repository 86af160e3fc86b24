"""Successive halving: at every rung, a number of steps, the best trials go on and the others stop.

Li et al. 2018, "Hyperband"; that a trial goes on as soon as it is among the best of all that have reached its rung is from Li et
al. 2020, "A System for Massively Parallel Hyperparameter Tuning". A trial goes on from its checkpoint, to the next rung.
"""

from collections.abc import Mapping

from stages.lm.sweeps.settings import Hyperband


def rungs(early: Hyperband | None, steps: int) -> list[int]:
    """The steps at which trials are compared, before the last one of `steps`."""
    if early is None:
        return []
    found: list[int] = []
    if early.min_iter is not None:
        rung = float(early.min_iter)
        while rung < steps:
            found.append(int(rung))
            rung *= early.eta
    else:
        found = [int((early.max_iter or 0) / early.eta**i) for i in range(1, (early.s or 0) + 1)]
    return sorted({rung for rung in found if 1 <= rung < steps})


def promoted(costs: Mapping[int, float], eta: float) -> list[int]:
    """Of the trials at a rung, by number, those that go on: one in `eta`, at least one, equals in order of their numbers."""
    finite = sorted((cost, number) for number, cost in costs.items() if cost < float("inf"))
    return [number for _, number in finite[: max(1, int(len(costs) / eta))]]
