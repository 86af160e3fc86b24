"""Put what a set of experiments found on one page, with the artifact behind each number.

python -m stages.report --config FILE --artifact DIR [--artifact DIR ...] --out DIR
python -m stages.report why FILE
python -m stages.report diff DIR DIR

The second tells what made a file, the third in what two runs differ and what came of it.
"""

import sys
from importlib import import_module
from typing import Any

from stages.lm import artifacts, script
from stages.lm.reporting import comparison, estimates, experiments, page, representations, translations
from stages.lm.reporting.experiments import Experiment
from stages.lm.reporting.settings import ReportSettings
from stages.lm.settings import parse


def main() -> None:
    if sys.argv[1:2] in (["why"], ["diff"]):
        # Loaded by name, they are no part of this stage's code version: they only look.
        commands = import_module("stages.lm.lineage.commands")
        sys.exit(getattr(commands, sys.argv[1])(sys.argv[2:]))
    args = script.arguments("report", __doc__, extend=script.any_artifacts)
    settings = parse(ReportSettings, args.settings, args.config)
    given = artifacts.read_all(args.options.artifact)
    found = experiments.resolve(settings, given, args.out)
    studies = experiments.resolve_studies(settings, given)
    sweeps = experiments.resolve_sweeps(settings, given)

    with artifacts.writing(args.out, "report", settings.resolved(), given) as draft:
        draft.volatile = {
            "report.html",
            "table.json",
            "table.csv",
            "table.txt",
            "reconciliation.json",
        }  # they hold measured times
        groups = comparison.compare(found)
        table = "\n".join(filter(None, (comparison.as_text(groups), translations.as_text(found), representations.as_text(found))))
        draft.write_text("report.html", page.render(settings.title, found, groups, studies, sweeps))
        draft.write_json("table.json", comparison.as_json(groups))
        draft.write_json("reconciliation.json", estimates.as_json(found))
        draft.write_text("table.csv", comparison.as_csv(groups))
        draft.write_text("table.txt", table)
        draft.write_json("stats.json", statistics(groups, found))
        draft.write_text("README.md", readme(settings, groups, found))
    script.log.info("%s\n%s", table, args.out / "report.html")


def statistics(groups: list[comparison.Group], found: list[Experiment]) -> dict[str, Any]:
    """The results without anything that a clock measured."""
    kept = ("experiment", "corpus", "split", "parameters", "bits_per_byte", "excess_percent", "perplexity")
    results = [{key: row.record()[key] for key in kept} for group in groups for row in group.rows]
    scores = ("split", "pairs", "bleu", "chrf", "nats_per_token", "signatures")
    translated = [
        {"experiment": experiment.name, **{key: experiment.value("evaluate", "stats.json", key) for key in scores}}
        for experiment in translations.translators(found)
    ]
    others = [
        {"experiment": experiment.name, **experiment.parts["evaluate"].json("stats.json")}
        for task in ("masked", "vectors")
        for experiment in representations.ranked(found, task)
    ]
    answered = {one.name: tasks for one in found if (tasks := one.value("evaluate", "stats.json", "tasks"))}
    measured = {"translations": translated, "others": others, "tasks": answered}
    return {"results": results, **{key: value for key, value in measured.items() if value}}


def readme(settings: ReportSettings, groups: list[comparison.Group], found: list[Experiment]) -> str:
    """The artifact explained to a person."""
    lines = [f"- {row.experiment.name}: {row.bits['value']:.4f} bits per byte" for group in groups for row in group.rows]
    lines += [
        f"- {experiment.name}: BLEU {experiment.value('evaluate', 'stats.json', 'bleu', 'value'):.2f}"
        for experiment in translations.translators(found)
    ]
    results = "\n".join(lines)
    return f"""# {settings.title}

{results or "No experiment has been evaluated."}

- `report.html`: everything on one page that needs no network; open it in a browser
- `table.txt`, `table.csv`, `table.json`: the comparison for the terminal, a spreadsheet, a program
- `reconciliation.json`: what was estimated of each experiment beside what was measured, with the error in per cent
- `stats.json`: the results that a seed determines
"""


if __name__ == "__main__":
    script.run(main)
