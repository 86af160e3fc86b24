"""Variants beside the experiment that they start from: what was changed, and what that is worth."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from stages.lm.artifacts import title
from stages.lm.evaluation.bootstrap import Interval
from stages.lm.reporting.cells import Cell, count, operations, probability
from stages.lm.reporting.comparison import Group, Row, difference_between
from stages.lm.reporting.configuration import flat
from stages.lm.reporting.experiments import Experiment


@dataclass(frozen=True)
class Variant:
    """One line of the table."""

    name: str
    changes: list[str]
    more: Cell
    """Bits per byte more than the base."""
    interval: Cell
    p: Cell
    """Of the difference being none."""
    even: bool
    """Whether the interval holds zero."""
    bits: Cell
    parameters: Cell
    operations: Cell
    speed: Cell


@dataclass(frozen=True)
class Ablation:
    """An experiment and its variants, in the order of the config."""

    base: Variant
    variants: list[Variant]
    confidence: str


def ablations(experiments: Iterable[Experiment], groups: Iterable[Group]) -> list[Ablation]:
    """One for every experiment that others of its family start from, directly or through one another."""
    known = {experiment.name: experiment for experiment in experiments}
    rows = {row.experiment.name: (row, group) for group in groups for row in group.rows}
    found = []
    for name, base in known.items():
        if name not in rows:
            continue
        row, group = rows[name]
        variants = [other for other in known.values() if _root(other, known) is base and other is not base]
        shown = [_variant(rows[other.name][0], base) for other in variants if other.name in rows and rows[other.name][1] is group]
        if shown:
            found.append(Ablation(_line(row, [], None), shown, f"{row.stat('confidence'):.0%}"))
    return found


def _root(experiment: Experiment, known: dict[str, Experiment]) -> Experiment:
    """The first of those that it descends from and that are of its family."""
    above = known.get(experiment.base or "")
    return _root(above, known) if above is not None and above.family == experiment.family else experiment


def _variant(row: Row, base: Experiment) -> Variant:
    return _line(row, changes(row.experiment, base), base)


def changes(experiment: Experiment, base: Experiment) -> list[str]:
    """The settings of model, training and data in which an experiment differs, `key: value`; those it lacks are left out."""
    own, others = flat(experiment, "train"), flat(base, "train")
    found = [f"{key.partition('.')[2]}: {value}" for key, value in own.items() if others.get(key) != value]
    for stage, what in (("bpe", "tokenizer"), ("corpus", "corpus")):
        here, there = experiment.parts.get(stage), base.parts.get(stage)
        if here is not None and there is not None and here.id != there.id:
            found.append(f"{what}: {title(here.id)}")
    return found


def _line(row: Row, changed: list[str], base: Experiment | None) -> Variant:
    experiment, record = row.experiment, row.record()
    interval = None if base is None else difference_between(experiment, base)
    even = interval is None or interval["low"] <= 0 <= interval["high"]

    def trained(text: str | None) -> Cell:
        return experiment.cell("train", text)

    return Variant(
        name=experiment.name,
        changes=changed,
        more=Cell("base") if interval is None else experiment.cell("evaluate", _signed(interval["value"])),
        interval=experiment.cell("evaluate", _ends(interval)),
        p=experiment.cell("evaluate", interval and probability(interval["p"])),
        even=even,
        bits=experiment.cell("evaluate", f"{row.bits['value']:.4f}"),
        parameters=trained(record["parameters"] and count(record["parameters"])),
        operations=trained(record["training_flops"] and operations(record["training_flops"])),
        speed=trained(record["tokens_per_second"] and count(record["tokens_per_second"])),
    )


def _ends(interval: Interval | None) -> str | None:
    if interval is None or not math.isfinite(interval["low"] + interval["high"]):
        return None
    return f"[{_signed(interval['low'])}, {_signed(interval['high'])}]"


def _signed(value: float) -> str:
    """With a sign, a true minus."""
    return f"{value:+.4f}".replace("-", "−") if math.isfinite(value) else "infinite"
