"""Whether it pays to compile the model for a run: by real steps, in a process of their own that leaves nothing in the run's.

First some eager steps. If all of the run's take longer than to compile takes, by what that took here before, then some compiled
ones. What was measured is kept by machine, model, arithmetic, code and version of torch; not by the number of steps or a learning
rate, so that a sweep measures once. The run itself may find the compiled code on disk, which is not counted on. Several processes
are measured as one of them alone, without what they exchange; translators with sentences of the mean length.
"""

import json
import logging
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import torch

from stages.lm import locks
from stages.lm.accounting.batches import Lengths, random_batch
from stages.lm.accounting.calibration import step_times
from stages.lm.accounting.kept import key_of_steps, write
from stages.lm.settings import parse
from stages.lm.training.settings import TrainSettings

log = logging.getLogger("stagecraft")

KEPT = Path("state") / "compile"
USUAL_SECONDS = 30.0
"""To compile a model, where none has been compiled here yet."""
MATTERS = ("batch_size", "micro_batch_size", "batches", "optimizer", "activation_checkpointing", "device", "threads", "precision",
           "matmul_precision")  # fmt: skip
"""The settings of training on which the seconds of a step depend."""


class Speeds(NamedTuple):
    """Seconds."""

    eager: float
    """Of a step."""
    compiled: float | None = None
    """Of a compiled step; None where compilation was not tried."""
    compiling: float | None = None
    """That the first compiled step took more."""
    failed: str | None = None
    """Why nothing can be compiled here."""

    def pays(self, steps: int) -> bool:
        """Whether so many steps end sooner with compilation."""
        return self.compiled is not None and self.compiling is not None and self.compiling < steps * (self.eager - self.compiled)

    def is_enough(self, steps: int, usual: float) -> bool:
        """Whether nothing more has to be known for a run of so many steps."""
        return self.compiled is not None or self.failed is not None or steps * self.eager <= usual

    def told(self, usual: float) -> str:
        """What is known of compilation, which usually takes so many seconds."""
        if self.failed is not None:
            return f"that fails here: {self.failed}"
        if self.compiled is None:
            return f"not tried, as it usually takes {usual:.3g} s"
        return f"compiled they take {self.compiled:.3g} s, after {self.compiling:.3g} s"


def pays(settings: TrainSettings, vocab_size: int, lengths: Lengths | None = None, kept: Path = KEPT) -> bool:
    """Whether to compile for the run of these settings. `lengths` are those of a translator's sentences."""
    steps, usual = settings.training.steps, usual_seconds(kept)
    training = {name: getattr(settings.training, name) for name in MATTERS}
    about = {"model": settings.model.resolved(), "training": training, "vocab_size": vocab_size, "lengths": lengths}
    file = kept / f"{key_of_steps(settings, about)}.json"
    with locks.alone(file.parent / "speeds"):  # none measures beside another
        known = Speeds(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None
        if known is None or not known.is_enough(steps, usual):
            known = measure(settings, vocab_size, lengths, usual)
            write(file, known._asdict())
    log.info("compile: %s, for %d steps of %.3g s; %s", str(known.pays(steps)).lower(), steps, known.eager, known.told(usual))
    return known.pays(steps)


def usual_seconds(kept: Path) -> float:
    """What to compile a model has taken on this machine."""
    found = (json.loads(file.read_text(encoding="utf-8"))["compiling"] for file in kept.glob("*.json"))
    return float(statistics.median([seconds for seconds in found if seconds is not None] or [USUAL_SECONDS]))


def measure(settings: TrainSettings, vocab_size: int, lengths: Lengths | None, usual: float) -> Speeds:
    """The seconds that steps take, as a fresh process finds."""
    command = [sys.executable, "-m", "stages.lm.accounting.compiling"]
    given = json.dumps([settings.resolved(), vocab_size, lengths, usual])
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"steps in a process of their own failed with {done.returncode}: {done.stderr[-2000:]}")
    return Speeds(*json.loads(done.stdout))


def speeds(settings: TrainSettings, vocab_size: int, lengths: Lengths | None, usual: float) -> Speeds:
    """The seconds that steps take in this process; compiled ones where the run is long enough, and compilation works here."""
    _, eager = timed(settings.with_training({"compile": False}), vocab_size, lengths)
    if Speeds(eager).is_enough(settings.training.steps, usual):
        return Speeds(eager)
    try:
        first, compiled = timed(settings.with_training({"compile": True}), vocab_size, lengths)
    except torch._dynamo.exc.TorchDynamoException as error:  # no C++ compiler, for example
        return Speeds(eager, failed=str(error).strip().partition("\n")[0])
    return Speeds(eager, compiled, max(0.0, first - compiled))


def timed(settings: TrainSettings, vocab_size: int, lengths: Lengths | None) -> tuple[float, float]:
    """The seconds of a first step, and of the median one after it."""
    batch = random_batch(settings.model, settings.training, vocab_size, lengths)
    first, *others = step_times(settings.model, settings.training, vocab_size, batch)
    return first, statistics.median(others)


if __name__ == "__main__":
    train, size, pair, seconds = json.load(sys.stdin)
    known = speeds(parse(TrainSettings, train, "settings"), size, Lengths(*pair) if pair else None, seconds)
    sys.stdout.write(json.dumps(known) + "\n")
