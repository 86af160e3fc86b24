"""What was estimated before training beside what was measured."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stages.lm.reporting.cells import MISSING, Cell, count, duration, operations, ratio, size
from stages.lm.reporting.experiments import Experiment


@dataclass(frozen=True)
class Line:
    """One quantity of one experiment."""

    quantity: str
    estimated: Cell
    measured: Cell
    ratio: str


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


def _estimate(experiment: Experiment) -> Estimate:
    def line(quantity: str, keys: tuple[str, ...], file: str, key: str, shown: Callable[[float], str]) -> Line:
        estimated = experiment.value("estimate", "stats.json", *keys)
        measured = experiment.value("train", file, key)
        return Line(
            quantity,
            experiment.cell("estimate", None if estimated is None else shown(estimated)),
            experiment.cell("train", None if measured is None else shown(measured)),
            ratio(measured, estimated) if measured and estimated else MISSING,
        )

    lines = [
        line("parameters", ("parameters", "total"), "stats.json", "parameters", count),
        line("peak memory", ("memory_bytes", "total"), "timing.json", "training_memory_bytes", size),
        line("training time", ("time", "seconds"), "timing.json", "seconds", duration),
        line("tokens a second", ("time", "tokens_per_second"), "timing.json", "tokens_per_second", count),
        _operations(experiment),
    ]
    breakdowns = {
        "parameters": _shares(experiment, ("parameters",), count),
        "forward pass, a token": _shares(experiment, ("flops", "forward_per_token"), operations),
        "memory": _shares(experiment, ("memory_bytes",), size),
    }
    return Estimate(experiment.name, lines, {title: shares for title, shares in breakdowns.items() if shares})


def _operations(experiment: Experiment) -> Line:
    """The operations of the whole training, and at how many a second it ran; the two have no ratio."""
    total = experiment.value("estimate", "stats.json", "flops", "training_total")
    seconds = experiment.value("train", "timing.json", "seconds")
    return Line(
        "operations",
        experiment.cell("estimate", operations(total) if total else None),
        experiment.cell("train", f"{operations(total / seconds)}/s" if total and seconds else None),
        MISSING,
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
