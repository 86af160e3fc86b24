"""The two logs of a run: what a seed determines, and what the clock says.

metrics.jsonl is equal byte for byte however often the run was interrupted; timing.jsonl is not.
"""

import json
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"


class RunLog:
    """Appends JSON lines to the files in a folder, as the run goes, so that one can follow it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def restore(self, texts: dict[str, str]) -> None:
        """Take the logs back to an earlier state; without a text a log is empty."""
        for name in (METRICS, TIMING):
            (self.folder / name).write_text(texts.get(name, ""), encoding="utf-8")

    def texts(self) -> dict[str, str]:
        """The logs so far."""
        return {name: (self.folder / name).read_text(encoding="utf-8") for name in (METRICS, TIMING)}

    def add(self, name: str, record: dict[str, Any]) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def records(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text(encoding="utf-8").splitlines()]
