"""What a page shows of a study of any kind: tables of linked numbers, plots, and facts for the text around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.lm.artifacts import Artifact
from stages.lm.reporting.cells import Cell
from stages.lm.reporting.experiments import href

Rows = list[dict[str, Cell]]


@dataclass(frozen=True)
class StudyView:
    """One study; the template `study_<kind>.html.j2` says what its parts mean."""

    name: str
    kind: str
    tables: dict[str, Rows]
    figures: dict[str, str]
    keys: dict[str, int] = field(default_factory=dict)
    """What the colours of the plots mean: names, each with the number of its series."""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """The study that a view is made from, and what it needs of the page around it."""

    name: str
    artifact: Artifact
    page: Path
    figure: str
    """What the names of its plots begin with."""
    colours: Mapping[str, str]
    """The colour of each experiment."""
    series: Mapping[str, int]
    """The number of that colour."""

    def stats(self, file: str = "stats.json") -> dict[str, Any]:
        found: dict[str, Any] = self.artifact.json(file)
        return found

    def cell(self, text: str) -> Cell:
        """`text` with a link to the study's artifact."""
        return Cell(text, self.artifact.id, href(self.artifact, self.page))
