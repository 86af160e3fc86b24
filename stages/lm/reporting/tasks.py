"""Tasks of all language models: how many answers are right, how probable the right ones are, and both against compute."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.evaluation.bootstrap import paired
from stages.lm.evaluation.settings import EvaluationSettings
from stages.lm.reporting import task_figures
from stages.lm.reporting.cells import Cell, count, percent, probability
from stages.lm.reporting.experiments import Experiment


@dataclass(frozen=True)
class Task:
    """One task: what it is, a row for each experiment with the best first, and the plot."""

    name: str
    source: str
    examples: str
    rows: list[dict[str, Cell]]
    plot: str
    counted: list[str]
    """Models without operations, where operations are shown."""


def tasks(experiments: Iterable[Experiment], colours: dict[str, str]) -> list[Task]:
    """The tasks in the order in which experiments first have them; those of one name stand apart by settings and file."""
    asked: dict[tuple[str, str, str | None], list[Experiment]] = {}
    for experiment in experiments:
        if experiment.value("evaluate", "stats.json", "tasks"):
            for name, settings in experiment.parts["evaluate"].settings["tasks"].items():
                file = experiment.value("evaluate", "stats.json", "task_files", name)
                asked.setdefault((name, json.dumps(settings), file), []).append(experiment)
    return [
        _task(name, json.loads(settings), found, colours, f"task-{number}")
        for number, ((name, settings, _), found) in enumerate(asked.items())
    ]


def _task(name: str, settings: dict[str, Any], found: list[Experiment], colours: dict[str, str], figure: str) -> Task:
    results = {one.name: one.value("evaluate", "stats.json", "tasks", name) for one in found}
    ranked = sorted(found, key=lambda one: -results[one.name]["accuracy"]["value"])
    flops = {one.name: one.training_flops for one in found}
    source = f"from the toy grammar: {settings['about']}" if settings["source"] == "grammar" else settings["path"]
    return Task(
        name,
        source,
        count(results[ranked[0].name]["examples"]),
        [_row(name, one, ranked[0], results[one.name]) for one in ranked],
        task_figures.scale(results, flops, colours, figure),
        [name for name, operations in flops.items() if not operations] if any(flops.values()) else [],
    )


def _row(name: str, experiment: Experiment, best: Experiment, results: dict[str, Any]) -> dict[str, Cell]:
    def cell(text: str) -> Cell:
        return experiment.cell("evaluate", text)

    right = results["accuracy"]
    levels = {level["level"]: cell(percent(100 * level["accuracy"]["value"])) for level in results["levels"] if level["level"]}
    return {
        "experiment": Cell(experiment.name),
        "right": cell(f"{percent(100 * right['value'])} [{100 * right['low']:.1f}, {100 * right['high']:.1f}]"),
        "p": Cell("") if experiment is best else cell(probability(_behind(name, experiment, best))),
        "right choice's share": cell(percent(100 * results["probability"]["value"])),
        "by chance": cell(percent(100 * results["chance"])),
        **levels,
    }


def _behind(name: str, experiment: Experiment, best: Experiment) -> float:
    """The p-value of an experiment's being right as often as the best, on the same examples."""
    more = _right(name, best) - _right(name, experiment)
    return paired(more, np.ones_like(more), EvaluationSettings.model_validate(best.parts["evaluate"].settings))["p"]


def _right(name: str, experiment: Experiment) -> NDArray[np.float64]:
    """For each example of a task whether it was answered rightly: float64 (examples,)."""
    return np.array([line["right"] for line in experiment.lines("evaluate", "tasks.jsonl") if line["task"] == name])
