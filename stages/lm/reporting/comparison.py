"""The comparison of all experiments: rows in bits per byte, grouped by the documents that they were evaluated on."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stages.lm.accounting.reconcile import errors
from stages.lm.evaluation.bootstrap import Difference, Interval
from stages.lm.evaluation.scores import difference
from stages.lm.evaluation.settings import EvaluationSettings
from stages.lm.reporting.cells import MISSING, SPACE, count, percent
from stages.lm.reporting.estimates import reconciled
from stages.lm.reporting.experiments import Experiment

COLUMNS = (
    "experiment", "family", "corpus", "split", "documents", "parameters", "tokens_seen", "training_flops", "training_seconds",
    "tokens_per_second", "peak_memory_bytes", "perplexity", "bits_per_byte", "bits_per_byte_low", "bits_per_byte_high",
    "spelled_bits_per_byte", "excess_percent", "excess_percent_low", "excess_percent_high", "behind_best", "behind_best_low",
    "behind_best_high", "behind_best_p",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One experiment's results."""

    experiment: Experiment
    behind: Difference | None
    """Bits per byte more than the group's best, on the same documents."""

    @property
    def bits(self) -> Interval:
        found: Interval = self.stat("bits_per_byte")
        return found

    @property
    def excess(self) -> Interval | None:
        """Per cent above the source's surprisal of the same documents."""
        found: Interval | None = self.stat("source", "excess_percent")
        return found

    def stat(self, *keys: str) -> Any:
        """What the evaluation's stats.json says."""
        return self.experiment.value("evaluate", "stats.json", *keys)

    def record(self) -> dict[str, Any]:
        """The row as plain values, None where unknown."""
        experiment = self.experiment
        corpus, split = experiment.documents or (None, None)
        values = {
            "experiment": experiment.name,
            "family": experiment.family,
            "corpus": corpus,
            "split": split,
            "documents": self.stat("documents"),
            "parameters": experiment.value("train", "stats.json", "parameters"),
            "tokens_seen": experiment.value("train", "stats.json", "tokens"),
            "training_flops": experiment.training_flops,
            "training_seconds": experiment.value("train", "timing.json", "seconds"),
            "tokens_per_second": experiment.value("train", "timing.json", "tokens_per_second"),
            "peak_memory_bytes": experiment.value("train", "timing.json", "peak_memory_bytes"),
            "perplexity": self.stat("perplexity", "value"),
            "spelled_bits_per_byte": self.stat("spelled_bits_per_byte"),
        }
        for name, found in (("bits_per_byte", self.bits), ("excess_percent", self.excess), ("behind_best", self.behind)):
            values |= {
                name: found and found["value"],
                f"{name}_low": found and found["low"],
                f"{name}_high": found and found["high"],
            }
        return values | {"behind_best_p": self.behind and self.behind["p"]}


@dataclass(frozen=True)
class Group:
    """Experiments evaluated on the same documents, the best first."""

    corpus: str
    split: str
    rows: list[Row]

    @cached_property
    def floor(self) -> float | None:
        """The source's surprisal of these documents in bits per byte: what no model can beat but by chance."""
        found: float | None = self.rows[0].stat("source", "sample_bits_per_byte")
        return found

    @cached_property
    def entropy(self) -> float | None:
        """The source's exact entropy in bits per byte."""
        found: float | None = self.rows[0].stat("source", "bits_per_byte")
        return found


def compare(experiments: Iterable[Experiment]) -> list[Group]:
    """Groups of experiments over the same documents, in the order of their first experiment."""
    members: dict[tuple[str, str], list[Experiment]] = {}
    for experiment in experiments:
        if experiment.documents is not None:
            members.setdefault(experiment.documents, []).append(experiment)
    groups = []
    for (corpus, split), found in members.items():
        best, *others = sorted(found, key=lambda experiment: experiment.value("evaluate", "stats.json", "bits_per_byte", "value"))
        groups.append(Group(corpus, split, [Row(best, None), *(Row(other, difference_between(other, best)) for other in others)]))
    return groups


def difference_between(experiment: Experiment, base: Experiment) -> Difference:
    """How many bits per byte more an experiment spends than another on the same documents, paired."""
    own, others = experiment.parts["evaluate"], base.parts["evaluate"]
    nats, lowest = np.load(own.file("losses.npy")), np.load(others.file("losses.npy"))
    settings = EvaluationSettings.model_validate(others.settings)
    return difference(nats, lowest, np.load(others.file("bytes.npy")), settings)


def as_csv(groups: Iterable[Group]) -> str:
    """One line for each experiment."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.record() for group in groups for row in group.rows)
    return stream.getvalue()


def as_json(groups: Iterable[Group]) -> list[dict[str, Any]]:
    """The same with the ids of the artifacts behind each row, the floor, and how far the estimate was off."""
    return [
        row.record()
        | {
            "source_bits_per_byte": group.floor,
            "source_entropy_bits_per_byte": group.entropy,
            "estimate_error_percent": errors(reconciled(row.experiment)),
            "artifacts": {stage: part.id for stage, part in row.experiment.parts.items()},
        }
        for group in groups
        for row in group.rows
    ]


def as_text(groups: list[Group]) -> str:
    """The headline table for a terminal."""
    return "\n".join(_text(group, titled=len(groups) > 1) for group in groups).replace(SPACE, " ")


def _text(group: Group, titled: bool) -> str:
    known = group.floor is not None
    lines = [["experiment", "parameters", "bits per byte", *(["above source"] if known else []), "tokens/s"]]
    for row in group.rows:
        values = row.record()
        interval = f"{row.bits['value']:.4f} [{row.bits['low']:.4f}, {row.bits['high']:.4f}]"
        excess = [percent(row.excess["value"])] if row.excess else [MISSING] if known else []
        lines.append(
            [row.experiment.name, _number(values["parameters"]), interval, *excess, _number(values["tokens_per_second"])]
        )
    if known:
        lines.append(["source", "", f"{group.floor:.4f}" + " " * len(" [0.0000, 0.0000]"), percent(0.0), ""])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width) for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    rule = "─" * len(aligned[0])
    title = [f"{group.corpus}, split {group.split}"] if titled else []
    body = [*aligned[1:-1], rule, aligned[-1]] if known else aligned[1:]
    notes = [
        f"{row.experiment.name}: {row.stat('spelled_bits_per_byte'):.4f} of its bits spell words that its tokenizer does not know"
        for row in group.rows
        if row.stat("spelled_bits_per_byte")
    ]
    return "\n".join([*title, aligned[0], rule, *(line.rstrip() for line in body), *notes, ""])


def _number(value: float | None) -> str:
    return MISSING if value is None else count(value)
