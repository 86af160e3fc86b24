"""Texts by all models, side by side for each prompt."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from stages.lm.reporting.cells import Cell
from stages.lm.reporting.experiments import Experiment


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
