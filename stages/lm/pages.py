"""HTML from Jinja's templates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def rendered(template: Path, context: Mapping[str, Any]) -> str:
    """A template with the others in its folder: all that is put in is escaped, and what is missing is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(context)
