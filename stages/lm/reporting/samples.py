"""Texts by all models, side by side for each prompt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.lm.artifacts import title
from stages.lm.corpus import store
from stages.lm.evaluation.quality import quality
from stages.lm.reporting.cells import Cell, count
from stages.lm.reporting.experiments import Experiment, distinct


@dataclass(frozen=True)
class Text:
    """One text: what the model wrote after the prompt, its length and why it stopped."""

    completion: str
    tokens: Cell
    ended: bool


@dataclass
class Prompt:
    """A prompt and what each experiment wrote after it, by the experiment's name."""

    prompt: str
    texts: dict[str, list[Text]] = field(default_factory=dict)


def variety(experiments: Sequence[Experiment]) -> list[dict[str, Cell]]:
    """How varied the texts of each experiment are, and as much text of the corpus itself; empty where nothing was measured."""
    measured = [one for one in experiments if one.value("decode", "stats.json", "quality")]
    rows = [_variety_row(one.name, one, "decode", one.value("decode", "stats.json", "quality")) for one in measured]
    return [*rows, *(_corpus_row(one, measured) for one in distinct(measured, "corpus"))]


def _corpus_row(experiment: Experiment, measured: Sequence[Experiment]) -> dict[str, Cell]:
    """Documents that no model was trained on, as many as the first experiment wrote texts, cut to the length of those."""
    written = [line["completion"] for line in measured[0].lines("decode", "samples.jsonl")]
    corpus = experiment.parts["corpus"]
    texts = (text for split in ("test", "valid", "train") for text in store.documents(corpus.path, split))
    cut = [text[: len(own)] for text, own in zip(texts, written, strict=False)]
    return _variety_row(f"corpus {title(corpus.id)}", experiment, "corpus", quality(cut))


def _variety_row(name: str, experiment: Experiment, stage: str, found: dict[str, Any]) -> dict[str, Cell]:
    def share(value: float | None) -> Cell:
        return experiment.cell(stage, None if value is None else f"{value:.3f}")

    return {
        "texts of": Cell(name),
        **{f"distinct-{n}": share(value) for n, value in found["distinct"].items()},
        "repeated": share(found["repeated"]),
        "words": experiment.cell(stage, count(found["words"])),
    }


def samples(experiments: Iterable[Experiment]) -> list[Prompt]:
    """All prompts in the order in which experiments first have them."""
    prompts: dict[str, Prompt] = {}
    for experiment in experiments:
        for line in experiment.lines("decode", "samples.jsonl") if experiment.task == "language model" else []:
            prompt = prompts.setdefault(line["prompt"], Prompt(line["prompt"]))
            text = Text(
                line["completion"], experiment.cell("decode", f"{line['tokens']:,}"), line["stop_reason"] == "end of text"
            )
            prompt.texts.setdefault(experiment.name, []).append(text)
    return list(prompts.values())
