"""The report as one HTML page that needs nothing beside itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.lm.artifacts import Artifact
from stages.lm.pages import rendered
from stages.lm.reporting import configuration, data, figures
from stages.lm.reporting.ablations import ablations
from stages.lm.reporting.closer import closer
from stages.lm.reporting.comparison import Group
from stages.lm.reporting.curves import all_curves
from stages.lm.reporting.estimates import estimates
from stages.lm.reporting.experiments import Experiment
from stages.lm.reporting.representations import blanks, word_vectors
from stages.lm.reporting.samples import samples, variety
from stages.lm.reporting.studies.page import studies
from stages.lm.reporting.svg import colour
from stages.lm.reporting.sweeps import sweeps
from stages.lm.reporting.tasks import tasks
from stages.lm.reporting.translations import translations
from stages.lm.reporting.views import views

TEMPLATES = Path(__file__).parent / "templates"


def render(
    title: str,
    experiments: list[Experiment],
    groups: list[Group],
    studied: Mapping[str, Artifact] | None = None,
    searched: Mapping[str, Artifact] | None = None,
) -> str:
    """The page for `experiments`, compared in `groups`, and studies and sweeps by name.

    The same artifacts give the same bytes.
    """
    colours = {experiment.name: colour(number) for number, experiment in enumerate(experiments)}
    curves = all_curves(experiments, groups)
    series = {experiment.name: number % 8 + 1 for number, experiment in enumerate(experiments)}
    context: dict[str, Any] = {
        "title": title,
        "experiments": experiments,
        "series": series,
        "groups": list(views(groups, colours)),
        "closer": closer(experiments, groups, colours),
        "tasks": tasks(experiments, colours),
        "ablations": ablations(experiments, groups),
        "learning": [(one, figures.learning(one, colours, f"learning-{number}")) for number, one in enumerate(curves)],
        "prompts": samples(experiments),
        "variety": variety(experiments),
        "studies": studies(studied or {}, colours, series, experiments[0].page),
        "sweeps": sweeps(searched or {}, experiments[0].page),
        "translation": translations(experiments),
        "blanks": blanks(experiments),
        "vectors": word_vectors(experiments),
        "confidence": _confidence(experiments),
        "estimates": estimates(experiments),
        "corpora": data.corpora(experiments),
        "tokenizers": data.tokenizers(experiments),
        "settings": configuration.settings(experiments),
        "provenance": configuration.provenance(experiments),
    }
    return rendered(TEMPLATES / "report.html.j2", context)


def _confidence(experiments: list[Experiment]) -> str:
    """The share of values within the intervals, of the first experiment that has any."""
    found = (experiment.value("evaluate", "stats.json", "confidence") for experiment in experiments)
    return f"{next((value for value in found if value is not None), 0.95):.0%}"
