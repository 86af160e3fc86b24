"""What a run tells of itself: averages over its steps, and two logs, what a seed determines and what the clock says.

metrics.jsonl is equal byte for byte however often the run was interrupted; timing.jsonl is not.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.lm.training.learner import Step

METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"


class RunLog:
    """JSON lines, appended to the files in a folder as the run goes, so that one can follow it; without a folder to no file."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.lines: dict[str, list[str]] = {METRICS: [], TIMING: []}

    def restore(self, texts: dict[str, str]) -> None:
        """Take the logs back to an earlier state; without a text a log is empty."""
        self.lines = {name: texts.get(name, "").splitlines(keepends=True) for name in self.lines}
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, text in self.texts().items():
                (self.folder / name).write_text(text, encoding="utf-8")

    def texts(self) -> dict[str, str]:
        """The logs so far."""
        return {name: "".join(lines) for name, lines in self.lines.items()}

    def add(self, name: str, record: dict[str, Any]) -> None:
        line = json.dumps(record) + "\n"
        self.lines[name].append(line)
        if self.folder is not None:
            with (self.folder / name).open("a", encoding="utf-8") as stream:
                stream.write(line)

    def records(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines[name]]


class Averages:
    """Means over the steps since the last line of metrics, added up on the device: only to read them is to wait for it."""

    def __init__(self, clip_norm: float, device: torch.device) -> None:
        self.clip_norm = clip_norm
        self.sums = torch.zeros(4, dtype=torch.float64, device=device)
        """Steps, and over them the sums of the loss, of the gradient norm, and of whether that was clipped."""
        self.not_finite = torch.zeros((), dtype=torch.int64, device=device)
        """The first step whose loss or gradient norm was not finite; 0 if all were."""

    def add(self, number: int, step: Step) -> None:
        """Take in what step 1, 2, ... measured."""
        self.sums += torch.stack([torch.ones_like(step.loss), step.loss, step.norm, step.norm > self.clip_norm])
        bad = ~torch.isfinite(step.loss + step.norm)
        self.not_finite = torch.where(bad & (self.not_finite == 0), number, self.not_finite)

    def read(self) -> dict[str, float]:
        """The means; new ones begin."""
        steps, *sums = self.sums.tolist()
        self.sums.zero_()
        return dict(zip(("loss", "gradient_norm", "clip_rate"), (total / steps for total in sums), strict=True))

    def first_not_finite(self) -> int:
        """The first step whose loss or gradient norm was not finite; 0 if all were."""
        return int(self.not_finite.item())

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint has to hold, so that the next line of metrics is the same."""
        return {"averages": self.sums}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave; from nothing, begin anew."""
        self.not_finite.zero_()
        self.sums.zero_()
        if "averages" in state:
            self.sums += state["averages"].to(self.sums.device)
