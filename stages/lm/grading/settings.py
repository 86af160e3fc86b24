"""Settings of the grade stage: what identifies a graded submission."""

from pydantic import Field

from stages.lm.grading.rubric import Rubric
from stages.lm.settings import Settings


class GradeSettings(Settings):
    """Settings of the grade stage."""

    submission: str
    """The name of its folder."""
    content: str
    """A hash over its files."""
    rubric: Rubric
    seed: int = Field(ge=0)
    """Of the hidden inputs."""
