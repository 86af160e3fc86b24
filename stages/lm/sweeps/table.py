"""The trials of a sweep as a table, the best of them, and what the search cost."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from stages.lm.sweeps.search import SearchSettings, Trial
from stages.lm.sweeps.settings import Metric


def rows(search: SearchSettings, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A line for each trial: its state, its metric, its cost, its parameters, and where these lie in the unit cube."""
    return [_row(search, number, trial) for number, trial in enumerate(trials)]


def _row(search: SearchSettings, number: int, trial: Trial) -> dict[str, Any]:
    row: dict[str, Any] = {"trial": number, "parameters": trial.point.parameters, "unit": trial.point.unit}
    if not trial.outcomes:
        return row | {"state": "failed", "metric": None, "steps": 0, "tokens": 0, "flops": 0.0, "message": trial.refused}
    last = trial.outcomes[-1]
    return row | {
        "state": "stopped" if last.state == "paused" else last.state,
        "metric": last.last.get(search.metric.name),
        "steps": last.steps,
        "tokens": last.tokens,
        "flops": last.flops,
        "message": last.message,
    }


def best(search: SearchSettings, trials: Sequence[Trial]) -> int | None:
    """The number of the best trial: among those that have come furthest, which finished ones have; None if none has a result."""
    known = {number: trial.cost(search.metric) for number, trial in enumerate(trials)}
    ranks = {
        number: (-(trials[number].outcomes[-1].until or math.inf), cost) for number, cost in known.items() if math.isfinite(cost)
    }
    return min(ranks, key=lambda number: ranks[number], default=None)


def snippet(experiment: str, parameters: Mapping[str, Any]) -> str:
    """An experiment with these parameters, to be pasted into a config."""
    entry: dict[str, Any] = {"extends": experiment}
    for path, value in parameters.items():
        *above, last = path.split(".")
        place = entry
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return yaml.safe_dump({"experiments": {f"{experiment}-best": entry}}, sort_keys=False, allow_unicode=True)


def as_csv(table: Sequence[Mapping[str, Any]]) -> str:
    """The table for a spreadsheet, a column for each parameter."""
    names = list(dict.fromkeys(name for row in table for name in row["parameters"]))
    kept = [key for key in table[0] if key not in ("parameters", "unit")] if table else []
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*kept, *names])
    for row in table:
        writer.writerow([*(row[key] for key in kept), *(row["parameters"].get(name) for name in names)])
    return out.getvalue()


def as_text(table: Sequence[Mapping[str, Any]], metric: Metric) -> str:
    """The table for a terminal, the best first."""

    def cost(row: Mapping[str, Any]) -> float:
        without = row["state"] in ("failed", "diverged") or row["metric"] is None
        return math.inf if without else metric.cost(row["metric"])

    lines = [["trial", "state", metric.name, "steps", "parameters"]]
    for row in sorted(table, key=cost):
        value = "–" if row["metric"] is None else f"{row['metric']:.4f}"
        shown = ", ".join(f"{name}: {_short(each)}" for name, each in row["parameters"].items())
        lines.append([str(row["trial"]), row["state"], value, str(row["steps"]), shown])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
