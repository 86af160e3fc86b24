"""Translators side by side: their scores on the same sentences, what they made of some of them, and where one of them looked."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stages.lm.reporting import figures
from stages.lm.reporting.cells import Cell, count, duration, table_text
from stages.lm.reporting.experiments import Experiment

COLUMNS = ("experiment", "BLEU", "chrF", "nats per token", "parameters", "training", "tokens/s", "sentences/s")


@dataclass
class Example:
    """A source, its reference where there is one, and what each experiment made of it, by the experiment's name."""

    source: str
    reference: str | None
    found: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Translations:
    """What the page shows of all translators: a row for each, the best first; examples; attention as pictures."""

    rows: list[dict[str, Cell]]
    signature: str
    pairs: str
    examples: list[Example]
    pictures: list[tuple[str, str]]


def translators(experiments: Iterable[Experiment]) -> list[Experiment]:
    """The experiments whose translations were evaluated, the highest BLEU first."""
    found = [experiment for experiment in experiments if experiment.task == "translation"]
    return sorted(found, key=lambda experiment: -experiment.value("evaluate", "stats.json", "bleu", "value"))


def translations(experiments: list[Experiment]) -> Translations | None:
    """Everything about them; None where no experiment translates."""
    found = translators(experiments)
    if not found:
        return None
    best = found[0]
    return Translations(
        [_row(experiment) for experiment in found],
        best.value("evaluate", "stats.json", "signatures", "bleu"),
        f"{best.value('evaluate', 'stats.json', 'pairs'):,} pairs of the {best.value('evaluate', 'stats.json', 'split')} split",
        _examples(experiments),
        list(_pictures(found)),
    )


def _row(experiment: Experiment) -> dict[str, Cell]:
    def evaluated(key: str) -> Cell:
        measured = experiment.value("evaluate", "stats.json", key)
        return experiment.cell("evaluate", f"{measured['value']:.2f} [{measured['low']:.2f}, {measured['high']:.2f}]")

    def shown(stage: str, file: str, key: str, form: Any) -> Cell:
        value = experiment.value(stage, file, key)
        return experiment.cell(stage, None if value is None else form(value))

    cells = (
        Cell(experiment.name),
        evaluated("bleu"),
        evaluated("chrf"),
        shown("evaluate", "stats.json", "nats_per_token", lambda value: f"{value:.3f}"),
        shown("train", "stats.json", "parameters", count),
        shown("train", "timing.json", "seconds", duration),
        shown("train", "timing.json", "tokens_per_second", count),
        shown("evaluate", "timing.json", "sentences_per_second", lambda value: f"{value:.1f}"),
    )
    return dict(zip(COLUMNS, cells, strict=True))


def _examples(experiments: Iterable[Experiment]) -> list[Example]:
    examples: dict[str, Example] = {}
    for experiment in experiments:
        for line in experiment.lines("decode", "samples.jsonl") if experiment.task == "translation" else []:
            example = examples.setdefault(line["prompt"], Example(line["prompt"], line["reference"]))
            example.found[experiment.name] = line["completion"]
    return list(examples.values())


def _pictures(found: Iterable[Experiment]) -> Iterable[tuple[str, str]]:
    """The attention of each experiment that wrote one down, for its first sentence: (experiment, figure)."""
    for number, experiment in enumerate(found):
        decoded = experiment.parts.get("decode")
        aligned = json.loads(decoded.file("alignments.json").read_text(encoding="utf-8")) if decoded else []
        if aligned:
            yield experiment.name, figures.alignment(**aligned[0], name=f"alignment-{number}")


def as_text(experiments: Iterable[Experiment]) -> str:
    """The table for a terminal; empty where no experiment translates."""
    rows = [_row(experiment) for experiment in translators(experiments)]
    return table_text(rows) if rows else ""
