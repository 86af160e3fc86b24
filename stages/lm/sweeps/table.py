"""The trials of a sweep as a table, the best of them, and what the search cost."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from stages.lm.sweeps.search import SearchSettings, Trial
from stages.lm.sweeps.settings import Metric
from stages.lm.sweeps.trials import put


def rows(search: SearchSettings, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A line for each trial: its rank, state, metric, cost, its parameters, and where these lie in the unit cube."""
    ranks = {number: rank for rank, number in enumerate(ranked(search.metric, trials))}
    return [{"rank": ranks.get(number)} | _row(search, number, trial) for number, trial in enumerate(trials)]


def ranked(metric: Metric, trials: Sequence[Trial]) -> list[int]:
    """The numbers of the trials that have a result, the best first: those that have come furthest come before all others."""
    known = {number: trial.cost(metric) for number, trial in enumerate(trials)}
    keys = {
        number: (-(trials[number].outcomes[-1].until or math.inf), cost) for number, cost in known.items() if math.isfinite(cost)
    }
    return sorted(keys, key=lambda number: keys[number])


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


def best(table: Sequence[Mapping[str, Any]]) -> int | None:
    """The number of the best trial; None if none has a result."""
    return next((int(row["trial"]) for row in table if row["rank"] == 0), None)


def by_rank(table: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The best first; those without a result last."""
    return sorted(table, key=lambda row: math.inf if row["rank"] is None else row["rank"])


def snippet(experiment: str, parameters: Mapping[str, Any]) -> str:
    """An experiment with these parameters, to be pasted into a config."""
    entry: dict[str, Any] = {"extends": experiment}
    for path, value in parameters.items():
        put(entry, path, value)
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
    lines = [["trial", "state", metric.name, "steps", "parameters"]]
    for row in by_rank(table):
        value = "–" if row["metric"] is None else f"{row['metric']:.4f}"
        values = ", ".join(f"{name}: {shown(each)}" for name, each in row["parameters"].items())
        lines.append([str(row["trial"]), row["state"], value, str(row["steps"]), values])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def shown(value: Any) -> str:
    """A parameter's value for people."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
