"""What the grade script does beside making artifacts: a try on the terminal, the table of a class, a template to begin with."""

import argparse
import csv
import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.lm import artifacts
from stages.lm.artifacts import Artifact
from stages.lm.errors import UserError
from stages.lm.grading.code_report import code_report
from stages.lm.grading.examine import examine
from stages.lm.grading.example import write_trained
from stages.lm.grading.page import class_page
from stages.lm.grading.results import as_text
from stages.lm.grading.rubric import read_rubric
from stages.lm.progress import progress
from stages.lm.provenance import ROOT

TEMPLATE = ROOT / "config/grading/template"
SHOWN = 3
"""How many of the checks at which most is lost a table names."""


def run(command: str, arguments: list[str]) -> int:
    """Run one of the commands; returns its exit code."""
    return {"try": try_out, "table": table, "template": template, "reference": reference}[command](arguments)


def try_out(arguments: list[str]) -> int:
    """Grade a submission and show what comes of it; 0 where every check passes, otherwise 1."""
    parser = argparse.ArgumentParser(prog="python -m stages.grade try", description=try_out.__doc__)
    parser.add_argument("submission", type=Path, metavar="DIR", help="what is to be handed in")
    parser.add_argument("--rubric", required=True, type=Path, metavar="FILE", help="config/grading/project-1.1.yaml, for example")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs; graders choose another one")
    args = parser.parse_args(arguments)
    rubric = read_rubric(args.rubric)
    if not args.submission.is_dir():
        raise UserError(f"{args.submission}: is no folder; name the one with adapters.py")
    with progress("checks", len(rubric.checks), "") as bar:
        marks = examine(args.submission, rubric, args.seed, lambda _: bar.update(1))
    sys.stdout.write(as_text(rubric, marks))
    sys.stdout.write("".join(f"- {sentence}\n" for sentence in code_report(args.submission, rubric.ready_made).sentences()))
    return int(marks.points < rubric.points)


def table(arguments: list[str]) -> int:
    """Graded submissions in one table, as CSV and HTML."""
    parser = argparse.ArgumentParser(prog="python -m stages.grade table", description=table.__doc__)
    parser.add_argument("--artifact", action="append", default=[], type=Path, metavar="DIR", help="a grade; may be repeated")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="without .csv and .html, which are added")
    args = parser.parse_args(arguments)
    grades = sorted((artifacts.read(path, "grade") for path in args.artifact), key=lambda grade: grade.settings["submission"])
    if not grades:
        raise UserError("--artifact: is needed; name the grades that the table should hold")
    titles = {str(grade.settings["rubric"]["title"]) for grade in grades}
    rows = [row(grade, args.out.parent) for grade in grades]
    columns = by_part(grades[0], "max_score")
    for file, text in ((".csv", as_csv(list(columns), rows)), (".html", class_page("; ".join(sorted(titles)), columns, rows))):
        draft = args.out.with_name(f".{args.out.name}{file}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(args.out.with_name(f"{args.out.name}{file}"))
    return 0


def row(grade: Artifact, folder: Path) -> dict[str, Any]:
    """A graded submission as a line of the table: points in all and by part, and what cost most."""
    tests = grade.json("results.json")["tests"]
    lost = sorted((test["score"] - test["max_score"], test["tags"][0]) for test in tests)
    page = os.path.relpath(grade.path / "page.html", folder)
    named = [name for difference, name in lost if difference < 0]
    return {
        "submission": grade.settings["submission"],
        "page": Path(page).as_posix(),
        "points": by_part(grade, "score"),
        "lost": ", ".join(named[:SHOWN]) + (f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""),
    }


def by_part(grade: Artifact, key: str) -> dict[str, float]:
    """Points in all and by part: those that were earned (`score`), or those that could be (`max_score`)."""
    points = {"score": 0.0}
    for test in grade.json("results.json")["tests"]:
        for column in ("score", test["tags"][1]):
            points[column] = round(points.get(column, 0.0) + test[key], 2)
    return points


def as_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """The table for a spreadsheet. A name that would be taken for a formula there is led by an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["submission", *columns, "lost"])
    for one in rows:
        name = one["submission"]
        safe = f"'{name}" if name[:1] in ("=", "+", "-", "@") else name
        writer.writerow([safe, *(one["points"][column] for column in columns), one["lost"]])
    return text.getvalue()


def template(arguments: list[str]) -> int:
    """Write the beginning of a submission: typed stubs of the adapters, and how to try them."""
    parser = argparse.ArgumentParser(prog="python -m stages.grade template", description=template.__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to; it should not exist yet")
    folder = new_folder(parser.parse_args(arguments).folder)
    shutil.copytree(TEMPLATE, folder)
    return 0


def reference(arguments: list[str]) -> int:
    """Write a submission that is our own code, with a small model trained by it, which should get all points of 1.1 and 1.2."""
    parser = argparse.ArgumentParser(prog="python -m stages.grade reference", description=reference.__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to; it should not exist yet")
    folder = new_folder(parser.parse_args(arguments).folder)
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "adapters.py").write_text("from stages.lm.grading.reference import *\n", encoding="utf-8")
    write_trained(folder)
    return 0


def new_folder(folder: Path) -> Path:
    """Raises UserError where there is something already."""
    if folder.exists():
        raise UserError(f"{folder}: exists already; name a folder that does not")
    return folder
