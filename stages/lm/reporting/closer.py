"""What lies behind the averages of language models: losses by position and by document, calibration, and text seen before."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.artifacts import title
from stages.lm.corpus import store
from stages.lm.reporting import closer_figures
from stages.lm.reporting.cells import Cell, count, percent
from stages.lm.reporting.comparison import Group
from stages.lm.reporting.experiments import Experiment, distinct

SHOWN_DOCUMENTS, SHOWN_CHARACTERS = 2, 400


@dataclass(frozen=True)
class Extreme:
    """A document that the best model predicts well or badly."""

    bits: Cell
    place: Cell
    text: str


@dataclass(frozen=True)
class Documents:
    """How losses spread over the documents of a group, and the documents at the ends."""

    split: str
    corpus: str
    plot: str
    best: str
    extremes: list[Extreme]


@dataclass(frozen=True)
class Closer:
    """Everything that the section shows; a part is empty where nothing of it was measured."""

    positions: list[tuple[str, str]]
    """For each tokenizer its name and the plot, since losses per token compare under one tokenizer only."""
    documents: list[Documents]
    reliability: str | None
    calibration: list[dict[str, Cell]]
    overlap: list[dict[str, Cell]]
    n: list[int]
    """Tokens in a row that count as seen before."""


def closer(experiments: Iterable[Experiment], groups: Iterable[Group], colours: dict[str, str]) -> Closer | None:
    """The section; None where no language model was looked at closely."""
    found = [one for one in experiments if one.value("evaluate", "stats.json", "positions")]
    if not found:
        return None
    guessed = [one for one in found if one.value("evaluate", "stats.json", "calibration")]
    bins = {one.name: one.value("evaluate", "stats.json", "calibration", "bins") for one in guessed}
    compared = [one for one in found if one.value("evaluate", "stats.json", "overlap")]
    return Closer(
        _positions(found, colours),
        [_documents(group, colours, f"spread-{number}") for number, group in enumerate(groups)],
        closer_figures.reliability(bins, colours, "reliability") if bins else None,
        [_calibration_row(one) for one in guessed],
        [_overlap_row(one) for one in compared],
        sorted({one.value("evaluate", "stats.json", "overlap", "n") for one in compared}),
    )


def _positions(found: list[Experiment], colours: dict[str, str]) -> list[tuple[str, str]]:
    plots = []
    for number, first in enumerate(distinct(found, "bpe")):
        losses = {
            one.name: one.value("evaluate", "stats.json", "positions")
            for one in found
            if "bpe" in one.parts and one.parts["bpe"].id == first.parts["bpe"].id
        }
        plots.append((title(first.parts["bpe"].id), closer_figures.positions(losses, colours, f"positions-{number}")))
    return plots


def _documents(group: Group, colours: dict[str, str], name: str) -> Documents:
    bits = {row.experiment.name: _bits_per_byte(row.experiment) for row in group.rows}
    best = group.rows[0].experiment
    finite = {experiment: values for experiment, values in bits.items() if np.isfinite(values).all()}
    plot = closer_figures.documents(finite, colours, name) if finite else ""
    extremes = _extremes(best, bits[best.name], group.split) if "corpus" in best.parts else []
    return Documents(group.split, title(group.corpus), plot, best.name, extremes)


def _bits_per_byte(experiment: Experiment) -> NDArray[np.float64]:
    """Of each document: float64 (documents,)."""
    evaluated = experiment.parts["evaluate"]
    lengths = np.load(evaluated.file("bytes.npy"))
    bits: NDArray[np.float64] = np.load(evaluated.file("losses.npy")) / math.log(2) / np.maximum(lengths, 1)
    return bits


def _extremes(best: Experiment, bits: NDArray[np.float64], split: str) -> list[Extreme]:
    """The documents that cost most and least, the hardest first."""
    order = np.argsort(-bits, kind="stable").tolist()
    chosen = list(dict.fromkeys([*order[:SHOWN_DOCUMENTS], *order[-SHOWN_DOCUMENTS:]]))
    texts = enumerate(islice(store.documents(best.parts["corpus"].path, split), max(chosen) + 1))
    found = {place: text for place, text in texts if place in chosen}
    return [
        Extreme(
            best.cell("evaluate", f"{bits[place]:.4f}"),
            best.cell("corpus", count(place)),
            found[place][:SHOWN_CHARACTERS] + (" …" if len(found[place]) > SHOWN_CHARACTERS else ""),
        )
        for place in chosen
    ]


def _calibration_row(experiment: Experiment) -> dict[str, Cell]:
    found = experiment.value("evaluate", "stats.json", "calibration")

    def cell(value: float) -> Cell:
        return experiment.cell("evaluate", percent(100 * value))

    return {
        "experiment": Cell(experiment.name),
        "calibration error": experiment.cell("evaluate", f"{100 * found['expected_calibration_error']:.2f} %"),
        "mean probability": cell(found["confidence"]),
        "right": cell(found["accuracy"]),
        "tokens": experiment.cell("evaluate", count(found["tokens"])),
    }


def _overlap_row(experiment: Experiment) -> dict[str, Cell]:
    found = experiment.value("evaluate", "stats.json", "overlap")

    def cost(band: dict[str, Any]) -> Cell:
        bits = band["bits_per_byte"]
        return experiment.cell("evaluate", f"{bits['value']:.4f} ({count(band['documents'])})" if bits else None)

    clean, some, dirty = found["by_share"]
    return {
        "experiment": Cell(experiment.name),
        "tokens seen": experiment.cell("evaluate", percent(100 * found["seen"] / max(found["tokens"], 1))),
        "documents with any": experiment.cell("evaluate", count(found["documents_with_any"])),
        f"below {100 * clean['to']:.0f} % seen": cost(clean),
        "between": cost(some),
        f"from {100 * dirty['from']:.0f} % seen": cost(dirty),
    }
