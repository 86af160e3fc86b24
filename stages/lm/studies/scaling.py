"""Scaling laws from the losses of many trainings, as a command.

    python -m stages.lm.studies.scaling FILE [--budgets 1e23 1e24]

FILE is a JSON list of {parameters, compute_budget, final_loss}; `scaling_laws` says what is fitted to them.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.lm import script
from stages.lm.errors import UserError
from stages.lm.settings import parse
from stages.lm.studies.power_law import PowerLaw, at
from stages.lm.studies.scaling_laws import Training, lowest, optimal, parabola, parametric, resampled


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
        points = [f"{at(laws.parameters, budget):.3g}, {at(laws.tokens, budget):.3g}" for budget in budgets]
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
