"""What a report is made from: experiments by name, each with its artifacts by stage."""

import json
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.lm import artifacts
from stages.lm.artifacts import Artifact
from stages.lm.reporting.cells import MISSING, Cell
from stages.lm.reporting.settings import ReportSettings


class Experiment:
    """One experiment: access to what its artifacts say, None wherever one of them or a key is missing."""

    def __init__(self, name: str, parts: Mapping[str, Artifact], page: Path, base: str | None = None) -> None:
        self.name, self.parts, self.page = name, parts, page
        self.base = base
        """The experiment that it is a variant of."""

    @cached_property
    def documents(self) -> tuple[str, str] | None:
        """The documents that a language model was evaluated on: the id of their corpus and the split."""
        if "evaluate" not in self.parts or self.task != "language model":
            return None
        evaluation = self.parts["evaluate"]
        return evaluation.manifest["inputs"]["corpus"]["id"], evaluation.json("stats.json")["split"]

    @property
    def task(self) -> str:
        """What it was evaluated for: a language model by the text that it predicts, others as their evaluation says."""
        return str(self.value("evaluate", "stats.json", "task") or "language model")

    @property
    def family(self) -> str | None:
        """The model family's name."""
        family: str | None = self.value("train", "model.json", "family")
        return family

    @property
    def training_flops(self) -> float | None:
        """Operations of its training by the estimate; None where nothing is multiplied."""
        flops: float | None = self.value("estimate", "stats.json", "flops", "training_total")
        return flops or None

    def value(self, stage: str, file: str, *keys: str) -> Any:
        """What stands at `keys` in a JSON file of the artifact of `stage`."""
        artifact = self.parts.get(stage)
        if artifact is None or file not in artifact.manifest["outputs"]:
            return None
        found = artifact.json(file)
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def lines(self, stage: str, file: str) -> list[dict[str, Any]]:
        """The objects of a JSONL file, empty where there is none."""
        artifact = self.parts.get(stage)
        if artifact is None or file not in artifact.manifest["outputs"]:
            return []
        # not splitlines: it also splits at line separators that JSON leaves unescaped within strings
        return [json.loads(line) for line in artifact.file(file).read_text(encoding="utf-8").split("\n") if line]

    def cell(self, stage: str, text: str | None) -> Cell:
        """`text` with a link to the artifact of `stage`; a dash where there is nothing to show."""
        if text is None or stage not in self.parts:
            return Cell(MISSING)
        artifact = self.parts[stage]
        return Cell(text, artifact.id, href(artifact, self.page))


def href(artifact: Artifact, page: Path) -> str:
    """The relative link from the folder `page` to an artifact's folder."""
    return Path(os.path.relpath(artifact.path.resolve(), page.resolve())).as_posix() + "/"


def resolve(settings: ReportSettings, given: Mapping[str, Artifact], page: Path) -> list[Experiment]:
    """The experiments of a report, in the order of the settings. Raises UserError for an id that was not given."""
    return [
        Experiment(
            name,
            {stage: artifacts.named(given, identity, stage, f"experiments.{name}.{stage}") for stage, identity in ids.items()},
            page,
            settings.bases.get(name),
        )
        for name, ids in settings.experiments.items()
    ]


def resolve_studies(settings: ReportSettings, given: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """The studies of a report by name, those of scaling laws of a stage of their own. Raises UserError for an id not given."""
    stages = {name: "scaling" if identity.startswith("scaling/") else "study" for name, identity in settings.studies.items()}
    return {name: artifacts.named(given, settings.studies[name], stage, f"studies.{name}") for name, stage in stages.items()}


def resolve_sweeps(settings: ReportSettings, given: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """The sweeps of a report by name. Raises UserError for an id that was not given."""
    return {name: artifacts.named(given, identity, "sweep", f"sweeps.{name}") for name, identity in settings.sweeps.items()}


def distinct(experiments: Iterable[Experiment], stage: str) -> list[Experiment]:
    """One experiment for each different artifact of `stage`, to describe what several experiments share once."""
    first: dict[str, Experiment] = {}
    for experiment in experiments:
        if stage in experiment.parts:
            first.setdefault(experiment.parts[stage].id, experiment)
    return list(first.values())
