"""From a folder of submissions and a rubric to the nodes of their grades."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.lm.errors import UserError
from stages.lm.grading.rubric import read_rubric
from stages.lm.grading.settings import GradeSettings
from stages.lm.grading.submission import content, legible, submissions
from workflow.jobs import JobSettings
from workflow.nodes import Node

KEYS = ("submissions", "rubric", "grading_seed")
"""What `--config` says for a grading; no part of the config of a run."""


def taken_from(config: dict[str, Any]) -> dict[str, Any]:
    """Take what is said of a grading out of a config."""
    return {key: config.pop(key) for key in KEYS if key in config}


def grades(given: Mapping[str, Any], job: JobSettings = JobSettings()) -> dict[str, Node]:  # noqa: B008, it is immutable
    """The node of each submission by its digest; `job` is what its grading asks a cluster for.

    Raises UserError where one of the keys is missing or wrong.
    """
    missing = [key for key in KEYS if key not in given]
    if missing:
        raise UserError(
            f"grade: needs {' and '.join(missing)}; for example --config submissions=FOLDER "
            "rubric=config/grading/project-1.1.yaml grading_seed=7"
        )
    seed = str(given["grading_seed"])
    if not seed.isdecimal():
        raise UserError(f"grading_seed: should be a whole number from 0 on, not {seed!r}")
    rubric = read_rubric(Path(str(given["rubric"])))
    made = {}
    for folder in submissions(Path(str(given["submissions"]))):
        settings = GradeSettings(submission=legible(folder.name), content=content(folder), rubric=rubric, seed=int(seed))
        node = Node("grade", slug(folder.name), settings.resolved(), files=(str(folder),), job=job)
        made[node.digest] = node
    return made


def table_name(given: Mapping[str, Any]) -> str:
    """What the table of a class is called: by its folder and by the rubric's file, since a class is graded by several."""
    folder, rubric = Path(str(given.get("submissions", ""))), Path(str(given.get("rubric", "")))
    return f"{slug(folder.resolve().name)}-{slug(rubric.stem)}"


def slug(name: str) -> str:
    """A name that any file system and any shell takes as it is."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("._") or "submission"
