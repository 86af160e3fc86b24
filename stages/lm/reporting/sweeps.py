"""Sweeps as the page shows them: what the browser draws from, and what stands beside it in words and tables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lm.artifacts import Artifact
from stages.lm.reporting.cells import MISSING, Cell, count, duration, operations, percent
from stages.lm.reporting.experiments import href
from stages.lm.sweeps.table import by_rank, shown

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

    trials = [
        {
            "trial": cell(str(row["trial"])),
            **{key: Cell(shown(row["parameters"][key])) for key in names},
            metric: cell(MISSING if row["metric"] is None else f"{row['metric']:.4f}"),
            "state": Cell(row["state"] + (f": {row['message']}" if row["message"] else "")),
            "steps": cell(count(row["steps"])),
            "operations": cell(operations(row["flops"])),
        }
        for row in by_rank(stats["trials"])
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
    drawn = [_axis(key, [row["parameters"][key] for row in stats["trials"]]) for key in names]
    trials = [
        {
            "number": row["trial"],
            "state": row["state"],
            "metric": row["metric"],
            "rank": row["rank"],
            "values": [values[number] for _, values in drawn],
            "curve": curve.get(metric, []),
        }
        for number, (row, curve) in enumerate(zip(stats["trials"], curves, strict=True))
    ]
    whole = {"metric": metric, "axes": [axis for axis, _ in drawn], "trials": trials}
    return json.dumps(whole, allow_nan=False).replace("<", "\\u003c")


def _axis(name: str, values: list[Any]) -> tuple[dict[str, Any], list[int | float]]:
    """How a parameter is drawn, and by which number of each trial: by its value, by the logarithm of that, or by one of so many
    places with labels."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        labels = list(dict.fromkeys(map(shown, values)))
        return {"name": name, "scale": "places", "labels": labels}, [labels.index(shown(value)) for value in values]
    is_wide = min(values) > 0 and max(values) / min(values) >= DECADE
    return {"name": name, "scale": "logarithm" if is_wide else "number"}, values


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
