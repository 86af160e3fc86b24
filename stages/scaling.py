"""Fit scaling laws to the trainings of a study so far, and say which training comes next, or how well it was predicted.

python -m stages.scaling --config FILE --artifact DIR [--artifact DIR ...] --out DIR

A study is two such artifacts: after the trainings at the budgets, and after the larger one that they predict.
"""

import math
from collections.abc import Mapping
from typing import Any

from stages.lm import artifacts, script
from stages.lm.artifacts import Artifact
from stages.lm.errors import UserError
from stages.lm.scaling import summary
from stages.lm.scaling.findings import Findings, findings, row
from stages.lm.scaling.runs import Run, ScalingSettings, grid
from stages.lm.settings import Settings, parse
from stages.lm.sweeps.outcomes import Outcome
from stages.lm.sweeps.trials import Request, Tried


class RoundSettings(Settings):
    """Settings of the scaling stage."""

    experiment: str
    """The experiment that is scaled."""
    study: ScalingSettings
    corpus: str
    """The id of the corpus, which may know its entropy."""
    tokens: str
    """The id of its tokens."""
    trials: list[Tried]


def main() -> None:
    args = script.arguments("scaling", __doc__, extend=script.any_artifacts)
    settings = parse(RoundSettings, args.settings, args.config)
    given = artifacts.read_all(args.options.artifact)
    corpus = artifacts.named(given, settings.corpus, "corpus", "corpus")
    tokens = artifacts.named(given, settings.tokens, "tokenize", "tokens")
    made = [
        artifacts.named(given, tried.outcomes[-1], "trial", f"trials.{number}.outcomes")
        for number, tried in enumerate(settings.trials)
    ]
    rows = rows_of(settings, made, tokens)
    fitted, last = rows[: (count := len(grid(settings.study)))], rows[count:]

    with artifacts.writing(args.out, "scaling", settings.resolved(), given) as draft:
        draft.volatile = {"timing.json"}
        found = found_in(settings.study, fitted)
        stats = summary.numbers(settings.study, found, fitted, last[0] if last else None)
        stats |= {"experiment": settings.experiment, "floor": floor(corpus, tokens)}
        coming = None if last or isinstance(found, str) else found.predicted
        draft.write_json("stats.json", stats)
        draft.write_json("next.json", [Request(number=count, parameters=dict(coming.parameters)).resolved()] if coming else [])
        draft.write_json("trainings.json", trainings(fitted))
        draft.write_json("timing.json", {"seconds": [float(trial.json("timing.json")["seconds"]) for trial in made]})
        draft.write_text("runs.csv", summary.as_csv(rows))
        draft.write_text("README.md", readme(stats))
    script.log.info("%s", "\n".join(summary.sentences(stats)))


def rows_of(settings: RoundSettings, made: list[Artifact], tokens: Artifact) -> list[dict[str, Any]]:
    """The trainings so far as plain values: those at the budgets, and after them the larger one."""
    budgets = [*(run.budget for run in grid(settings.study)), settings.study.predict]
    text = tokens.json("stats.json")["splits"]["train"]["tokens"]
    rows = []
    for budget, tried, trial in zip(budgets, settings.trials, made, strict=False):
        run = Run.of(settings.study, budget, tried.parameters)
        outcome = parse(Outcome, trial.json("stats.json"), str(trial.path))
        rows.append(row(run, outcome) | {"epochs": run.tokens / text})
    return rows


def found_in(study: ScalingSettings, rows: list[dict[str, Any]]) -> Findings | str:
    """What the trainings at the budgets say, or why they say nothing."""
    try:
        return findings(study, rows)
    except UserError as error:
        return str(error)


def floor(corpus: Artifact, tokens: Artifact) -> float | None:
    """The source's entropy in nats for each token of the validation split; None where it is not known, or tokens hide letters."""
    entropy, split = corpus.json("stats.json")["entropy"], tokens.json("stats.json")["splits"]["valid"]
    if entropy is None or split["spelled"] or not split["tokens"]:
        return None
    return float(entropy["bits_per_byte"] * math.log(2) * split["bytes"] / split["tokens"])


def trainings(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """What `python -m stages.lm.studies.scaling` reads."""
    return [
        {"parameters": row["parameters"], "compute_budget": row["budget"], "final_loss": row["loss"]}
        for row in rows
        if row["loss"]
    ]


def readme(stats: Mapping[str, Any]) -> str:
    """The artifact explained to a person."""
    laws = "" if not stats["laws"] else f"\n{summary.law_table(stats)}\n\n{summary.formula(stats)}\n"
    text = "\n\n".join(summary.sentences(stats))
    return f"""# Scaling laws of {stats["experiment"]}

{text}
{laws}
- `stats.json`: trainings, minima, laws with intervals, prediction and outcome; `runs.csv`: the trainings for a spreadsheet
- `trainings.json`: what `python -m stages.lm.studies.scaling` reads
- `next.json`: the training that comes next; empty where the study is over
- `timing.json`: seconds of every training
"""


if __name__ == "__main__":
    script.run(main)
