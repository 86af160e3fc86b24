"""Scaling laws: how parameters and tokens should grow with compute, from the losses of many trainings.

    python -m stages.lm.studies.scaling FILE [--budgets 1e23 1e24]

FILE is a JSON list of {parameters, compute_budget, final_loss}. After Hoffmann et al. 2022, "Training Compute-Optimal Large
Language Models": approach 2, the best size for each budget, by the lowest run or a parabola, and a power law through these; and
approach 3, L(N, D) = E + A / N^alpha + B / D^beta. C = 6 N D throughout.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from stages.lm import script
from stages.lm.errors import UserError
from stages.lm.settings import Settings, parse
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


def parabola(trainings: Sequence[Training]) -> float:
    """The size at the minimum of a parabola through the losses by log size."""
    sizes = np.log([one.parameters for one in trainings])
    bend, slope, _ = np.polyfit(sizes - sizes.mean(), [one.final_loss for one in trainings], 2)
    return float(np.exp(sizes.mean() - slope / (2 * bend)))


def optimal(trainings: Sequence[Training], best: Callable[[Sequence[Training]], float]) -> Optimal:
    """The power laws through the best sizes of all budgets. Raises UserError for fewer than three budgets."""
    budgets = sorted({one.compute_budget for one in trainings})
    if len(budgets) < 3:
        raise UserError(f"a power law needs trainings at three budgets or more, not {len(budgets)}")
    sizes = [best([one for one in trainings if one.compute_budget == budget]) for budget in budgets]
    tokens = [budget / 6 / size for budget, size in zip(budgets, sizes, strict=True)]
    return Optimal(fit_power_law(budgets, sizes), fit_power_law(budgets, tokens))


def parametric(trainings: Sequence[Training], starts: Sequence[Parametric] = ()) -> Parametric:
    """The least Huber loss of log L over several starts (by default a grid)."""
    from scipy.optimize import minimize

    sizes = np.log([one.parameters for one in trainings])
    tokens = np.log([one.tokens for one in trainings])
    losses = np.log([one.final_loss for one in trainings])

    def cost(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The Huber loss at (log A, log B, log E, alpha, beta), and its gradient."""
        terms = np.stack([x[0] - x[3] * sizes, x[1] - x[4] * tokens, np.full_like(sizes, x[2])])  # (3, trainings)
        predicted = np.logaddexp.reduce(terms)
        error = predicted - losses
        size = np.abs(error)
        total = np.where(size <= HUBER, error**2 / 2, HUBER * (size - HUBER / 2)).sum()
        weights = np.clip(error, -HUBER, HUBER) * np.exp(terms - predicted)
        return 1e6 * total, 1e6 * np.array([*weights.sum(axis=1), -weights[0] @ sizes, -weights[1] @ tokens])

    grid: Iterator[Any] = product(*STARTS.values())
    given = [(np.log(one.a), np.log(one.b), np.log(one.e), one.alpha, one.beta) for one in starts]
    found = min(
        (minimize(cost, np.array(x), jac=True, method="L-BFGS-B") for x in given or grid), key=lambda each: float(each.fun)
    )
    log_a, log_b, log_e, alpha, beta = map(float, found.x)
    return Parametric(float(np.exp(log_e)), float(np.exp(log_a)), float(np.exp(log_b)), alpha, beta)


def resampled(trainings: Sequence[Training], fitted: Parametric, times: int = 100, seed: int = 0) -> list[Parametric]:
    """The fits to bootstrap samples of the trainings, each from the fit to all of them."""
    generator = np.random.default_rng(seed)
    draws = generator.integers(len(trainings), size=(times, len(trainings)))
    return [parametric([trainings[index] for index in draw], [fitted]) for draw in draws]


def read(file: Path) -> list[Training]:
    """The trainings in a JSON file. Raises UserError naming the file."""
    try:
        return list(parse(list[Training], json.loads(file.read_text(encoding="utf-8")), str(file)))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as JSON: {error}") from None


def report(trainings: Sequence[Training], budgets: Sequence[float]) -> str:
    """What each method says of the budgets, a line each, with 95 % intervals."""
    lines = [_line("method", "N ~ C^a", "D ~ C^b", [f"N, D at {budget:.0e}" for budget in budgets])]
    for name, best in (("lowest run", lowest), ("parabola", parabola)):
        laws = optimal(trainings, best)
        points = [f"{_at(laws.parameters, budget):.3g}, {_at(laws.tokens, budget):.3g}" for budget in budgets]
        lines.append(_line(name, _exponent(laws.parameters), _exponent(laws.tokens), points))
    fitted = parametric(trainings)
    others = resampled(trainings, fitted)
    shares = [one.beta / (one.alpha + one.beta) for one in (fitted, *others)]
    points = [", ".join(f"{number:.3g}" for number in fitted.optimal(budget)) for budget in budgets]
    lines.append(_line("parametric", _with_interval(shares), _with_interval([1 - share for share in shares]), points))
    lines.append(f"L = {fitted.e:.3f} + {fitted.a:.4g} / N^{fitted.alpha:.3f} + {fitted.b:.4g} / D^{fitted.beta:.3f}")
    for budget in budgets:
        losses = [one.loss(*one.optimal(budget)) for one in (fitted, *others)]
        lines.append(f"loss of the best model at {budget:.0e}: {_with_interval(losses)}")
    return "\n".join(lines) + "\n"


def _line(name: str, parameters: str, tokens: str, points: Sequence[str]) -> str:
    return f"{name:<12}{parameters:>24}{tokens:>24}" + "".join(f"{point:>24}" for point in points)


def _with_interval(values: Sequence[float]) -> str:
    """The first value, and what holds 95 % of the others."""
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return f"{values[0]:.3f} [{low:.3f}, {high:.3f}]"


def _at(law: PowerLaw, compute: float) -> float:
    return float(law["factor"] * compute ** law["exponent"])


def _exponent(law: PowerLaw) -> str:
    return f"{law['exponent']:.3f} [{law['low']:.3f}, {law['high']:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.lm.studies.scaling", description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--budgets", type=float, nargs="+", default=[1e23, 1e24], metavar="C", help="operations to extrapolate to"
    )
    args = parser.parse_args()
    sys.stdout.write(report(read(args.file), args.budgets))


if __name__ == "__main__":
    script.run(main)
