"""Models that predict no next token: blanks filled in by those that see both directions, and word vectors."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from stages.lm.reporting import figures
from stages.lm.reporting.cells import Cell, count, duration, table_text
from stages.lm.reporting.experiments import Experiment

Row = dict[str, Cell]
"""A line of a table, by column."""


@dataclass
class Example:
    """A text with blanks, and what each experiment fills in, by the experiment's name."""

    prompt: str
    found: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Blanks:
    """What the page shows of models that fill in blanks: a row for each, the best first; what was measured; examples."""

    rows: list[Row]
    measured: str
    task: dict[str, Any] | None
    examples: list[Example]


@dataclass(frozen=True)
class Shown:
    """The vectors of one experiment."""

    name: str
    picture: str
    variance: str
    neighbours: list[dict[str, str]]
    analogies: list[dict[str, str]]


@dataclass(frozen=True)
class Vectors:
    """What the page shows of word vectors: a row for each experiment, the lowest loss first, and their pictures."""

    rows: list[Row]
    shown: list[Shown]


def ranked(experiments: Iterable[Experiment], task: str) -> list[Experiment]:
    """The experiments evaluated for a task, the lowest loss first."""
    key = {"masked": "nats_per_hidden_token", "vectors": "nats_per_prediction"}[task]
    found = [experiment for experiment in experiments if experiment.task == task]
    return sorted(found, key=lambda experiment: experiment.value("evaluate", "stats.json", key))


def blanks(experiments: Iterable[Experiment]) -> Blanks | None:
    """Everything about models that fill in blanks; None where there are none."""
    found = ranked(experiments, "masked")
    if not found:
        return None
    stats = found[0].parts["evaluate"].json("stats.json")
    task = stats["classification"]
    return Blanks(
        [_blanks_row(experiment) for experiment in found],
        f"{stats['documents']:,} documents of the {stats['split']} split",
        task and task | {"chance": f"{task['chance']:.0%}"},
        _examples(found),
    )


def _blanks_row(experiment: Experiment) -> Row:
    def interval(key: str, form: str) -> Cell:
        measured = experiment.value("evaluate", "stats.json", key)
        return experiment.cell("evaluate", f"{measured['value']:{form}} [{measured['low']:{form}}, {measured['high']:{form}}]")

    task = experiment.value("evaluate", "stats.json", "classification")
    return {
        "experiment": Cell(experiment.name),
        "pseudo-perplexity": interval("pseudo_perplexity", ".3f"),
        "hidden tokens found": interval("accuracy", ".1%"),
        "task, pretrained": experiment.cell("evaluate", f"{task['pretrained']:.1%}" if task else None),
        "task, from scratch": experiment.cell("evaluate", f"{task['from_scratch']:.1%}" if task else None),
        **_training(experiment),
    }


def _training(experiment: Experiment) -> Row:
    def shown(file: str, key: str, form: Callable[[float], str]) -> Cell:
        value = experiment.value("train", file, key)
        return experiment.cell("train", None if value is None else form(value))

    return {
        "parameters": shown("stats.json", "parameters", count),
        "training": shown("timing.json", "seconds", duration),
        "tokens/s": shown("timing.json", "tokens_per_second", count),
    }


def _examples(experiments: Iterable[Experiment]) -> list[Example]:
    examples: dict[str, Example] = {}
    for experiment in experiments:
        for line in experiment.lines("decode", "samples.jsonl"):
            example = examples.setdefault(line["prompt"], Example(line["prompt"]))
            example.found[experiment.name] = " — ".join(map(_candidates, line["blanks"]))
    return list(examples.values())


def _candidates(blank: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['token'].strip() or repr(one['token'])} {one['probability']:.1%}" for one in blank)


def word_vectors(experiments: Iterable[Experiment]) -> Vectors | None:
    """Everything about word vectors; None where there are none."""
    found = ranked(experiments, "vectors")
    if not found:
        return None
    return Vectors([_vectors_row(experiment) for experiment in found], [_shown(one) for one in found if "decode" in one.parts])


def _vectors_row(experiment: Experiment) -> Row:
    stats = experiment.parts["evaluate"].json("stats.json")
    right = f"{stats['accuracy']:.0%} of {len(stats['analogies'])}" if stats["analogies"] else None
    return {
        "experiment": Cell(experiment.name),
        "family": experiment.cell("train", experiment.family),
        "nats per prediction": experiment.cell("evaluate", f"{stats['nats_per_prediction']:.4f}"),
        "analogies": experiment.cell("evaluate", right),
        "by chance": experiment.cell("evaluate", f"{stats['chance']:.1%}"),
        "words": experiment.cell("evaluate", count(stats["words"])),
        **_training(experiment),
    }


def _shown(experiment: Experiment) -> Shown:
    decoded = experiment.parts["decode"]
    near, picture = (json.loads(decoded.file(name).read_text("utf-8")) for name in ("neighbours.json", "picture.json"))
    return Shown(
        experiment.name,
        figures.word_map(picture["words"], picture["points"], f"words-{experiment.name}"),
        f"{picture['variance']:.0%}",
        [
            {"word": one["word"], "nearest": ", ".join(f"{word} {cosine:.2f}" for word, cosine in one["neighbours"])}
            for one in near
        ],
        [
            {"asked": " ".join(one["asked"]), "expected": one["expected"], "found": one["found"]}
            for one in experiment.value("evaluate", "stats.json", "analogies")
        ],
    )


def as_text(experiments: list[Experiment]) -> str:
    """The tables for a terminal; empty where no experiment has such a task."""
    tables = [
        [_blanks_row(experiment) for experiment in ranked(experiments, "masked")],
        [_vectors_row(experiment) for experiment in ranked(experiments, "vectors")],
    ]
    return "\n".join(table_text(rows) for rows in tables if rows)
