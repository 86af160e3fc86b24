"""All studies of a report."""

from collections.abc import Mapping
from pathlib import Path

from stages.lm.artifacts import Artifact
from stages.lm.reporting.studies.accounting import view as accounting
from stages.lm.reporting.studies.complexity import view as complexity
from stages.lm.reporting.studies.gradients import view as gradients
from stages.lm.reporting.studies.scaling import view as scaling
from stages.lm.reporting.studies.tokenizers import view as tokenizers
from stages.lm.reporting.studies.view import Source, StudyView

VIEWS = {"gradients": gradients, "complexity": complexity, "tokenizers": tokenizers, "accounting": accounting, "scaling": scaling}


def studies(found: Mapping[str, Artifact], colours: Mapping[str, str], series: Mapping[str, int], page: Path) -> list[StudyView]:
    """Every study, ready to be shown; `series` are the numbers of the experiments' colours."""
    sources = [
        Source(name, artifact, page, f"study-{number}", colours, series) for number, (name, artifact) in enumerate(found.items())
    ]
    return [VIEWS[source.stats()["kind"]](source) for source in sources]
