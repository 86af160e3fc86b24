"""A rubric: which checks count, for how many points, how exactly, and how what they find is told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from stages.lm import script
from stages.lm.errors import UserError
from stages.lm.settings import Settings, parse, unknown


class Limits(Settings):
    """What a submission may use."""

    seconds: float = Field(default=10.0, gt=0)
    """For one question to it; after that its process is ended, and the next question goes to a new one."""
    total_seconds: float = Field(default=300.0, gt=0)
    """For all questions together; what comes later is not asked."""
    memory_mb: int = Field(default=6144, gt=0)
    """Address space of its process; torch alone takes a good part of it."""
    file_mb: int = Field(default=256, gt=0)
    """All that it may write."""
    processes: int = Field(default=64, gt=0)
    """Processes and threads at a time."""
    submission_mb: int = Field(default=500, gt=0)
    """The submission itself."""


class Check(Settings):
    """One thing that is looked at."""

    points: float = Field(gt=0)
    part: str
    """The heading under which it stands."""
    title: str
    """What is right when it passes."""
    requirement: str
    """Where the course asks for it, R40 for example."""
    hint: str
    """What is usually wrong when it fails, and where to look."""
    tolerance: float = Field(default=1e-5, ge=0)
    """How far numbers may lie from ours: |found - expected| <= tolerance * (1 + |expected|)."""
    partial: bool = True
    """Whether each of its cases that passes earns its share; otherwise all have to."""
    needs: str | None = None
    """Another check that has to pass entirely: speed is worth nothing where the result is wrong."""
    times_slower: float | None = Field(default=None, gt=0)
    """It may take this many times as long as our own code, on the same machine in the same run."""
    at_most: list[float] = []
    """Bounds on what is measured of a trained model, in bits per byte, each of which is a case."""
    more_mb: float | None = Field(default=None, gt=0)
    """Its memory may grow by this much more than that of our own code does."""


class Manual(Settings):
    """What a person judges; its points are not part of the score until a person has given them."""

    title: str
    points: float = Field(gt=0)
    asks: str


class Rubric(Settings):
    """How a kind of submission is graded."""

    name: str
    title: str
    module: Literal["adapters", "variant"] = "adapters"
    """Which Python file of the submission is asked, without .py."""
    limits: Limits = Limits()
    checks: dict[str, Check]
    """By the name of the check."""
    manual: list[Manual] = []
    ready_made: list[str] = []
    """Names of what a submission should have written itself; where they are used is told to whoever reads the code."""

    @property
    def points(self) -> float:
        """What can be reached without a person."""
        return sum(check.points for check in self.checks.values())


def read_rubric(file: Path) -> Rubric:
    """The rubric in a YAML file. Raises UserError where it is none, or names what does not exist."""
    rubric = parse(Rubric, script.read_settings(str(file)), str(file))
    check_names(rubric, str(file))
    return rubric


def check_names(rubric: Rubric, where: str) -> None:
    """Raises UserError where there is no such check, or one needs another that does not stand above it."""
    from stages.lm.grading.checks.every import CHECKS
    from stages.lm.grading.evidence.every import EVIDENCE

    above: set[str] = set()
    for name, check in rubric.checks.items():
        if name not in CHECKS and name not in EVIDENCE:
            raise UserError(unknown(f"{where}: checks", "check", name, [*CHECKS, *EVIDENCE]))
        if check.needs is not None and check.needs not in above:
            raise UserError(f"{where}: checks.{name}.needs: {check.needs!r} is no check that stands above it")
        above.add(name)
