"""Scaling laws: how parameters and tokens should grow with compute, from the losses of many trainings.

After Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models": approach 2, the best size for each budget, by the
lowest run or a parabola, and a power law through these; and approach 3, L(N, D) = E + A / N^alpha + B / D^beta. C = 6 N D
throughout.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from stages.lm.errors import UserError
from stages.lm.settings import Settings
from stages.lm.studies.power_law import PowerLaw, fit_power_law

HUBER = 1e-3
"""From this distance in log loss on, deviations count linearly."""

STARTS = {"log_a": (0.0, 10.0, 20.0), "log_b": (0.0, 10.0, 20.0), "log_e": (-0.5, 0.5), "alpha": (0.3, 0.8), "beta": (0.3, 0.8)}
"""Where the parametric fit begins: every combination."""


class Training(Settings):
    """One training of a study."""

    parameters: PositiveFloat
    compute_budget: PositiveFloat
    """In floating-point operations."""
    final_loss: PositiveFloat

    @property
    def tokens(self) -> float:
        return self.compute_budget / (6 * self.parameters)


class Optimal(NamedTuple):
    """Compute-optimal parameters and tokens as power laws of compute."""

    parameters: PowerLaw
    tokens: PowerLaw


class Parametric(NamedTuple):
    """L(N, D) = E + A / N^alpha + B / D^beta."""

    e: float
    a: float
    b: float
    alpha: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        return float(self.e + self.a / parameters**self.alpha + self.b / tokens**self.beta)

    def optimal(self, compute: float) -> tuple[float, float]:
        """The parameters and tokens of the lowest loss at a budget: equation 4 of the paper."""
        scale = (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))
        parameters = scale * (compute / 6) ** (self.beta / (self.alpha + self.beta))
        return parameters, compute / 6 / parameters


def lowest(trainings: Sequence[Training]) -> float:
    """The size of the training with the lowest loss."""
    return min(trainings, key=lambda one: one.final_loss).parameters


def quadratic(trainings: Sequence[Training]) -> NDArray[np.float64]:
    """The parabola through the losses by log size: its coefficients, of the square first. Needs three sizes."""
    return np.polyfit(np.log([one.parameters for one in trainings]), [one.final_loss for one in trainings], 2)


def parabola(trainings: Sequence[Training]) -> float | None:
    """The size at the minimum of the parabola; None where there is none, or not between the smallest and the largest size."""
    sizes = [one.parameters for one in trainings]
    if len(set(sizes)) < 3:
        return None
    bend, slope, _ = quadratic(trainings)
    size = float(np.exp(-slope / (2 * bend))) if bend > 0 else 0.0
    return size if min(sizes) <= size <= max(sizes) else None


def optimal(trainings: Sequence[Training], best: Callable[[Sequence[Training]], float | None]) -> Optimal:
    """The power laws through the best sizes of all budgets that have one. Raises UserError for fewer than three of these."""
    budgets = sorted({one.compute_budget for one in trainings})
    sizes = {budget: best([one for one in trainings if one.compute_budget == budget]) for budget in budgets}
    found = {budget: size for budget, size in sizes.items() if size is not None}
    if len(found) < 3:
        raise UserError(f"a power law needs a best size at three budgets or more, not {len(found)}")
    tokens = [budget / 6 / size for budget, size in found.items()]
    return Optimal(fit_power_law(list(found), list(found.values())), fit_power_law(list(found), tokens))


def parametric(trainings: Sequence[Training], starts: Sequence[Parametric] = ()) -> Parametric:
    """The least Huber loss of log L over several starts (by default a grid)."""
    from scipy.optimize import minimize

    sizes = np.log([one.parameters for one in trainings])
    tokens = np.log([one.tokens for one in trainings])
    losses = np.log([one.final_loss for one in trainings])

    def cost(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The Huber loss at (log A, log B, log E, log alpha, log beta), and its gradient: no exponent is negative."""
        alpha, beta = np.exp(x[3:])
        terms = np.stack([x[0] - alpha * sizes, x[1] - beta * tokens, np.full_like(sizes, x[2])])  # (3, trainings)
        predicted = np.logaddexp.reduce(terms)
        error = predicted - losses
        size = np.abs(error)
        total = np.where(size <= HUBER, error**2 / 2, HUBER * (size - HUBER / 2)).sum()
        weights = np.clip(error, -HUBER, HUBER) * np.exp(terms - predicted)
        return 1e6 * total, 1e6 * np.array([*weights.sum(axis=1), -alpha * weights[0] @ sizes, -beta * weights[1] @ tokens])

    grid: Iterator[Any] = ((*logs, np.log(alpha), np.log(beta)) for *logs, alpha, beta in product(*STARTS.values()))
    given = [np.log([one.a, one.b, one.e, one.alpha, one.beta]) for one in starts]
    # BFGS, not L-BFGS: scipy's runs LAPACK on 5 numbers, whose threads wait for each other far longer than they compute.
    with np.errstate(over="ignore", invalid="ignore"):  # a step too far costs more than numbers hold, and is taken back
        fits = [minimize(cost, np.array(x), jac=True, method="BFGS") for x in given or grid]
    found = min(fits, key=lambda each: float(each.fun))
    a, b, e, alpha, beta = map(float, np.exp(found.x))
    return Parametric(e, a, b, alpha, beta)


def resampled(trainings: Sequence[Training], fitted: Parametric, times: int = 100, seed: int = 0) -> list[Parametric]:
    """The fits to bootstrap samples of the trainings, each from the fit to all of them."""
    generator = np.random.default_rng(seed)
    draws = generator.integers(len(trainings), size=(times, len(trainings)))
    return [parametric([trainings[index] for index in draw], [fitted]) for draw in draws]
