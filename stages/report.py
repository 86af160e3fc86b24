"""Put what a set of experiments found on one page, with the artifact behind each number.

python -m stages.report --config FILE --artifact DIR [--artifact DIR ...] --out DIR
"""

import argparse
from pathlib import Path
from typing import Any

from stages.lm import artifacts, script
from stages.lm.reporting import comparison, experiments, page
from stages.lm.reporting.settings import ReportSettings
from stages.lm.settings import parse


def main() -> None:
    args = script.arguments("report", __doc__, extend=add_options)
    settings = parse(ReportSettings, args.settings, args.config)
    given = experiments.read_all(args.options.artifact)
    found = experiments.resolve(settings, given, args.out)

    with artifacts.writing(args.out, "report", settings.resolved(), given) as draft:
        draft.volatile = {"report.html", "table.json", "table.csv", "table.txt"}  # they hold measured times
        groups = comparison.compare(found)
        table = comparison.as_text(groups)
        draft.write_text("report.html", page.render(settings.title, found, groups))
        draft.write_json("table.json", comparison.as_json(groups))
        draft.write_text("table.csv", comparison.as_csv(groups))
        draft.write_text("table.txt", table)
        draft.write_json("stats.json", statistics(groups))
        draft.write_text("README.md", readme(settings, groups))
    script.log.info("%s\n%s", table, args.out / "report.html")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--artifact", action="append", default=[], type=Path, metavar="DIR", help="an artifact to report on; may be repeated"
    )


def statistics(groups: list[comparison.Group]) -> dict[str, Any]:
    """The results without anything that a clock measured."""
    kept = ("experiment", "corpus", "split", "parameters", "bits_per_byte", "excess_percent", "perplexity")
    return {"results": [{key: row.record()[key] for key in kept} for group in groups for row in group.rows]}


def readme(settings: ReportSettings, groups: list[comparison.Group]) -> str:
    """The artifact explained to a person."""
    results = "\n".join(
        f"- {row.experiment.name}: {row.bits['value']:.4f} bits per byte" for group in groups for row in group.rows
    )
    return f"""# {settings.title}

{results or "No experiment has been evaluated."}

- `report.html`: everything on one page that needs no network; open it in a browser
- `table.txt`, `table.csv`, `table.json`: the comparison for the terminal, a spreadsheet, a program
- `stats.json`: the results that a seed determines
"""


if __name__ == "__main__":
    script.run(main)
