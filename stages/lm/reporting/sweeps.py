"""Sweeps as the page shows them: what the browser draws from, and what stands beside it in words and tables."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lm.artifacts import Artifact
from stages.lm.reporting.cells import MISSING, Cell, count, duration, operations, percent
from stages.lm.reporting.experiments import href

DECADE = 10.0
"""From this ratio of their ends on, positive numbers are drawn by their logarithm."""


@dataclass(frozen=True)
class SweepView:
    """One sweep, ready to be shown."""

    name: str
    experiment: str
    method: str
    metric: str
    data: str
    """What the page's script draws from, as JSON that may stand inside a page."""
    trials: list[dict[str, Cell]]
    cost: list[dict[str, Cell]]
    importance: list[dict[str, Cell]]
    best: str
    """The best configuration, to be pasted into a config; empty where no trial has a result."""


def sweeps(found: Mapping[str, Artifact], page: Path) -> list[SweepView]:
    """Every sweep by name, from its last artifact."""
    return [_view(name, artifact, page) for name, artifact in found.items()]


def _view(name: str, artifact: Artifact, page: Path) -> SweepView:
    stats, seconds = artifact.json("stats.json"), artifact.json("timing.json")["seconds"]
    settings, metric = artifact.settings, stats["metric"]["name"]
    names = [key for key, entry in settings["search"]["parameters"].items() if entry["distribution"] != "constant"]

    def cell(text: str) -> Cell:
        return Cell(text, artifact.id, href(artifact, page))

    def value(row: Mapping[str, Any]) -> float:
        sign = -1 if stats["metric"]["goal"] == "maximize" else 1
        return math.inf if row["metric"] is None or row["state"] in ("failed", "diverged") else sign * float(row["metric"])

    trials = [
        {
            "trial": cell(str(row["trial"])),
            **{key: Cell(_shown(row["parameters"][key])) for key in names},
            metric: cell(MISSING if row["metric"] is None else f"{row['metric']:.4f}"),
            "state": Cell(row["state"] + (f": {row['message']}" if row["message"] else "")),
            "steps": cell(count(row["steps"])),
            "operations": cell(operations(row["flops"])),
        }
        for row in sorted(stats["trials"], key=value)
    ]
    return SweepView(
        name,
        settings["experiment"],
        settings["search"]["method"],
        metric,
        _data(stats, artifact.json("curves.json"), names),
        trials,
        _cost(stats, seconds, cell),
        _importance(stats["importance"], cell),
        artifact.file("best.yaml").read_text(encoding="utf-8"),
    )


def _data(stats: Mapping[str, Any], curves: list[dict[str, Any]], names: list[str]) -> str:
    metric = stats["metric"]["name"]
    axes = [_axis(key, [row["parameters"][key] for row in stats["trials"]]) for key in names]
    trials = [
        {
            "number": row["trial"],
            "state": row["state"],
            "metric": row["metric"],
            "values": [row["parameters"][key] for key in names],
            "curve": curve.get(metric, []),
        }
        for row, curve in zip(stats["trials"], curves, strict=True)
    ]
    whole = {"metric": metric, "goal": stats["metric"]["goal"], "best": stats["best"], "axes": axes, "trials": trials}
    return json.dumps(whole, allow_nan=False).replace("<", "\\u003c")


def _axis(name: str, values: list[Any]) -> dict[str, Any]:
    """How a parameter is drawn: by number, by its logarithm, or one place for each of its values."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return {"name": name, "scale": "places", "places": list(dict.fromkeys(json.dumps(value) for value in values))}
    is_wide = min(values) > 0 and max(values) / min(values) >= DECADE
    return {"name": name, "scale": "logarithm" if is_wide else "number"}


def _cost(stats: Mapping[str, Any], seconds: list[float], cell: Any) -> list[dict[str, Cell]]:
    """What the trials took, by state and together."""
    states = list(dict.fromkeys(row["state"] for row in stats["trials"]))
    rows = []
    for state in [*states, "all"]:
        chosen = [row for row in stats["trials"] if state in (row["state"], "all")]
        rows.append(
            {
                "trials": Cell(state),
                "number": cell(count(len(chosen))),
                "steps": cell(count(sum(row["steps"] for row in chosen))),
                "tokens": cell(count(sum(row["tokens"] for row in chosen))),
                "operations": cell(operations(sum(row["flops"] for row in chosen))),
                "time": cell(duration(sum(seconds[row["trial"]] for row in chosen))),
            }
        )
    return rows


def _importance(found: Mapping[str, Mapping[str, float | None]], cell: Any) -> list[dict[str, Cell]]:
    ordered = sorted(found.items(), key=lambda item: -(item[1]["share"] or 0.0))
    return [
        {
            "parameter": Cell(name),
            "importance": cell(percent(100 * (entry["share"] or 0.0))),
            "rank correlation": cell(MISSING if entry["correlation"] is None else f"{entry['correlation']:+.2f}"),
        }
        for name, entry in ordered
    ]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
