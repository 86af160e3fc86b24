"""What came of one case of a check."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One case of a check, and what was wrong with it, if anything was."""

    name: str
    fault: str | None = None
