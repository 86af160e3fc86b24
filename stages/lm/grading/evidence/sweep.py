"""A sweep that was run: its file, what came of its trials, and the panel that was looked at (R64).

sweep.yaml is W&B's sweep file. What came of it is either this project's artifact, in a folder sweep/, or trials.csv, as W&B
exports it: a line for each run. The panel is report.html of this project, or a picture panel.png, panel.jpg or panel.pdf.
"""

import csv
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.lm import artifacts
from stages.lm.errors import UserError
from stages.lm.grading.case import Case
from stages.lm.grading.rubric import Check
from stages.lm.grading.submission import legible
from stages.lm.sweeps.settings import load

FEWEST = 4
"""Trials that make a sweep."""
PICTURES = {"panel.png": b"\x89PNG", "panel.jpg": b"\xff\xd8\xff", "panel.pdf": b"%PDF"}
LARGEST_TABLE = 1 << 24


def swept(submission: Path, _rng: random.Random, _entry: Check) -> list[Case]:
    """Whether the sweep file is one, its trials were run with the parameters it names, and a panel is there to be looked at."""
    named: list[str] = []
    fault: str | None = None
    try:
        named = sorted(load(submission / "sweep.yaml").parameters)
    except (UserError, RecursionError) as error:
        fault = _short(error, submission)
    return [
        Case("sweep.yaml", fault),
        Case("its trials", _of_trials(submission, named) if fault is None else "what they vary is not known without sweep.yaml"),
        Case("the panel", _of_panel(submission)),
    ]


def _of_trials(submission: Path, named: list[str]) -> str | None:
    try:
        rows = _of_artifact(submission / "sweep") if (submission / "sweep").is_dir() else _of_table(submission / "trials.csv")
    except (UserError, OSError, ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        return _short(error, submission)
    finished = [row for row in rows if math.isfinite(row["metric"])]
    if len(finished) < FEWEST:
        return f"{len(finished)} of {len(rows)} trials have a result; at least {FEWEST} should"
    lacking = [name for name in named if name not in finished[0]]
    if lacking:
        return f"the trials do not tell {', '.join(lacking)}, which sweep.yaml varies"
    points = {tuple(str(row[name]) for name in named) for row in finished}
    return None if len(points) >= FEWEST else f"the trials try only {len(points)} different settings; at least {FEWEST} should"


def _of_artifact(folder: Path) -> list[dict[str, Any]]:
    """The trials of a sweep by this project, whose bytes are as its manifest says."""
    trials = artifacts.read(folder, "sweep").json("stats.json")["trials"]
    return [{**row["parameters"], "metric": math.nan if row["metric"] is None else float(row["metric"])} for row in trials]


def _of_table(file: Path) -> list[dict[str, Any]]:
    """The runs that W&B lists: the metric is the first column that speaks of a loss."""
    if not file.is_file():
        raise UserError("there is neither a folder sweep/ nor a file trials.csv")
    if file.stat().st_size > LARGEST_TABLE:
        raise UserError("trials.csv: is too large for a table of trials")
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    losses = [name for name in (rows[0] if rows else {}) if name and "loss" in name.lower()]
    if not losses:
        raise UserError("trials.csv: has no column for a loss")
    return [{**row, "metric": _number(row, losses[0])} for row in rows]


def _number(row: Mapping[str, Any], name: str) -> float:
    try:
        return float(row[name])
    except (TypeError, ValueError):
        return math.nan


def _of_panel(submission: Path) -> str | None:
    report = submission / "report.html"
    if report.is_file() and 'id="sweeps"' in report.read_text(encoding="utf-8", errors="replace"):
        return None
    for name, start in PICTURES.items():
        if (submission / name).is_file():
            with (submission / name).open("rb") as stream:
                return None if stream.read(len(start)) == start else f"{name} is no such picture"
    return f"there is neither a report.html that shows a sweep nor one of {', '.join(PICTURES)}"


def _short(error: Exception, submission: Path) -> str:
    return legible(str(error).replace(f"{submission}/", "").removeprefix("sweep.yaml: "))
