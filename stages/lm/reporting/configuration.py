"""The settings of every experiment, what differs between them, and the artifacts that they made."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from stages.lm.nested import leaves
from stages.lm.reporting.cells import MISSING, Cell, duration, size
from stages.lm.reporting.experiments import Experiment, href

STAGES = ("corpus", "bpe", "train", "evaluate", "decode")
"""The stages whose settings are shown; train and estimate share theirs, and tokenize has none that matter."""


@dataclass(frozen=True)
class Setting:
    """One key and its value in each experiment, in their order."""

    key: str
    values: list[Cell]
    differs: bool


def settings(experiments: list[Experiment]) -> dict[str, list[Setting]]:
    """The settings by stage; a key differs when experiments that have it give it different values."""
    tables = {}
    for stage in STAGES:
        columns = [flat(experiment, stage) for experiment in experiments]
        keys = dict.fromkeys(key for column in columns for key in column)
        tables[stage] = [
            Setting(
                key,
                [
                    experiment.cell(stage, column.get(key)) if key in column else Cell(MISSING)
                    for experiment, column in zip(experiments, columns, strict=True)
                ],
                len({column[key] for column in columns if key in column}) > 1,
            )
            for key in keys
        ]
    return {stage: rows for stage, rows in tables.items() if rows}


def flat(experiment: Experiment, stage: str) -> dict[str, str]:
    """The settings of one stage by dotted key; none where its artifact is missing."""
    if stage not in experiment.parts:
        return {}
    values = {name: value for name, value in leaves(experiment.parts[stage].settings) if value != {}}
    return {
        name: value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }


def provenance(experiments: Iterable[Experiment]) -> list[dict[str, Cell]]:
    """Every artifact of the report: what made it, and what that took."""
    found = {part.id: (part, experiment.page) for experiment in experiments for part in experiment.parts.values()}
    rows = []
    for identity, (artifact, page) in found.items():
        manifest = artifact.manifest
        rows.append(
            {
                "artifact": Cell(identity, identity, href(artifact, page)),
                "content": Cell(manifest["content"][:12]),
                "code": Cell(manifest["code"]),
                "seed": Cell(MISSING if manifest["seed"] is None else str(manifest["seed"])),
                "wall time": Cell(duration(manifest["wall_seconds"])),
                "peak memory": Cell(size(manifest["peak_memory_bytes"])),
            }
        )
    return rows
