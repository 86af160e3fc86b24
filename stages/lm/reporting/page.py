"""The report as one HTML page that needs nothing beside itself."""

from pathlib import Path
from typing import Any

from stages.lm.reporting import configuration, data, figures
from stages.lm.reporting.comparison import Group
from stages.lm.reporting.curves import learning_curves
from stages.lm.reporting.estimates import estimates
from stages.lm.reporting.experiments import Experiment
from stages.lm.reporting.samples import samples
from stages.lm.reporting.svg import colour
from stages.lm.reporting.views import views

TEMPLATES = Path(__file__).parent / "templates"


def render(title: str, experiments: list[Experiment], groups: list[Group]) -> str:
    """The page for `experiments`, compared in `groups`. The same artifacts give the same bytes."""
    colours = {experiment.name: colour(number) for number, experiment in enumerate(experiments)}
    curves = learning_curves(experiments, groups)
    context: dict[str, Any] = {
        "title": title,
        "experiments": experiments,
        "series": {experiment.name: number % 8 + 1 for number, experiment in enumerate(experiments)},
        "groups": list(views(groups, colours)),
        "curves": curves,
        "learning": curves and figures.learning(curves, colours),
        "prompts": samples(experiments),
        "estimates": estimates(experiments),
        "corpora": data.corpora(experiments),
        "tokenizers": data.tokenizers(experiments),
        "settings": configuration.settings(experiments),
        "provenance": configuration.provenance(experiments),
    }
    return str(_environment().get_template("report.html.j2").render(context))


def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
