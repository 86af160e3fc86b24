"""What was estimated before training beside what was measured."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from stages.lm.accounting.reconcile import Row, reconcile
from stages.lm.reporting.cells import MISSING, SPACE, Cell, count, duration, operations, size
from stages.lm.reporting.experiments import Experiment

SHOWN: dict[str, Callable[[float], str]] = {"": count, "FLOP": operations, "bytes": size, "seconds": duration, "tokens/s": count}
"""How a number of each unit is written."""


@dataclass(frozen=True)
class Line:
    """One quantity of one experiment."""

    quantity: str
    estimated: Cell
    measured: Cell
    error: str


@dataclass(frozen=True)
class Share:
    """One component's part of a quantity."""

    component: str
    value: Cell
    percent: float


@dataclass(frozen=True)
class Estimate:
    """One experiment's estimates: totals beside measurements, and what they are made up of."""

    name: str
    lines: list[Line]
    breakdowns: dict[str, list[Share]]


def estimates(experiments: Iterable[Experiment]) -> list[Estimate]:
    """The estimates of all experiments that have one."""
    return [_estimate(experiment) for experiment in experiments if "estimate" in experiment.parts]


def reconciled(experiment: Experiment) -> list[Row]:
    """Every quantity of an experiment's estimate beside its measurement; nothing without an estimate."""
    estimate = experiment.value("estimate", "stats.json")
    if estimate is None:
        return []
    trained, timing = (experiment.value("train", file) for file in ("stats.json", "timing.json"))
    return reconcile(estimate, trained, timing, experiment.value("decode", "timing.json"))


def as_json(experiments: Iterable[Experiment]) -> dict[str, list[dict[str, Any]]]:
    """The same of all experiments, as plain values."""
    return {one.name: [row.record() for row in reconciled(one)] for one in experiments if "estimate" in one.parts}


def _estimate(experiment: Experiment) -> Estimate:
    lines = [_line(experiment, row) for row in reconciled(experiment) if row.predicted is not None or row.measured is not None]
    breakdowns = {
        "parameters": _shares(experiment, ("parameters",), count),
        "forward pass, a token": _shares(experiment, ("flops", "forward_per_token"), operations),
        "elementwise work of it": _shares(experiment, ("flops", "elementwise_per_token"), operations),
        "update": _shares(experiment, ("flops", "update_per_step"), operations),
        "memory": _shares(experiment, ("memory_bytes",), size),
    }
    return Estimate(experiment.name, lines, {title: shares for title, shares in breakdowns.items() if shares})


def _line(experiment: Experiment, row: Row) -> Line:
    shown, measured_by = SHOWN[row.unit], "decode" if "decoding" in row.quantity else "train"
    return Line(
        row.quantity,
        experiment.cell("estimate", None if row.predicted is None else shown(row.predicted)),
        experiment.cell(measured_by, None if row.measured is None else shown(row.measured)),
        MISSING if row.error is None else f"{row.error:+.1f}{SPACE}%",
    )


def _shares(experiment: Experiment, keys: tuple[str, ...], shown: Callable[[float], str]) -> list[Share]:
    parts = experiment.value("estimate", "stats.json", *keys)
    values = {name: part for name, part in (parts or {}).items() if name != "total" and isinstance(part, int | float)}
    total = sum(values.values())
    return [
        Share(name.replace("_", " "), experiment.cell("estimate", shown(part)), 100.0 * part / total)
        for name, part in values.items()
        if total
    ]
