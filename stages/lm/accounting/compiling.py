"""Whether it pays to compile the model for a run: by real steps, in a process of their own that leaves nothing in the run's.

First some eager steps. If all of the run's take longer than to compile takes, by what that took here before, then some compiled
ones. What was measured is kept by machine, model, arithmetic, code and version of torch; not by the number of steps or a learning
rate, so that a sweep measures once. Several processes are measured as one of them alone, without what they exchange;
translators with sentences of the mean length.
"""

import json
import logging
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import nn

from stages.lm.accounting.batches import Lengths, random_batch
from stages.lm.accounting.kept import key_of_steps, write
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.training import machine
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainSettings

log = logging.getLogger("stagecraft")

KEPT = Path("state") / "compile"
USUAL_SECONDS = 30.0
"""To compile a model, where none has been compiled yet: it took 20 to 38 s on two cores."""
STEPS = 3
"""Of each kind, after a first one that does not count."""
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

    def pays(self, steps: int) -> bool:
        """Whether so many steps end sooner with compilation."""
        return self.compiled is not None and self.compiling is not None and self.compiling < steps * (self.eager - self.compiled)

    def told(self, usual: float) -> str:
        """What is known of compilation, which usually takes so many seconds."""
        if self.compiled is None:
            return f"not tried, as it usually takes {usual:.3g} s, or it fails here"
        return f"compiled they take {self.compiled:.3g} s, after {self.compiling:.3g} s"


def pays(settings: TrainSettings, vocab_size: int, lengths: Lengths | None = None, kept: Path = KEPT) -> bool:
    """Whether to compile for the run of these settings. `lengths` are those of a translator's sentences."""
    steps, usual = settings.training.steps, usual_seconds(kept)
    training = {name: getattr(settings.training, name) for name in MATTERS}
    about = {"model": settings.model.resolved(), "training": training, "vocab_size": vocab_size, "lengths": lengths}
    file = kept / f"{key_of_steps(settings, about)}.json"
    known = Speeds(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None
    if known is None or (known.compiled is None and steps * known.eager > usual):
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
    if settings.training.steps * eager <= usual:
        return Speeds(eager)
    try:
        first, compiled = timed(settings.with_training({"compile": True}), vocab_size, lengths)
    except torch._dynamo.exc.TorchDynamoException as error:  # no C++ compiler, for example
        sys.stderr.write(f"{error}\n")
        return Speeds(eager)
    return Speeds(eager, compiled, max(0.0, first - compiled))


def timed(settings: TrainSettings, vocab_size: int, lengths: Lengths | None) -> tuple[float, float]:
    """The seconds of a first step, and of the fastest one after it."""
    device = machine.prepare(settings.training)
    learner = Learner(cast(nn.Module, registry.build(settings.model, vocab_size, 0)), settings.training, device)
    batch = random_batch(settings.model, settings.training, vocab_size, lengths)
    times: list[float] = []
    for _ in range(1 + STEPS):
        began = time.perf_counter()
        learner.step(batch, settings.training.learning_rate).loss.item()  # waits for the device
        times.append(time.perf_counter() - began)
    return times[0], min(times[1:])


if __name__ == "__main__":
    train, size, pair, seconds = json.load(sys.stdin)
    known = speeds(parse(TrainSettings, train, "settings"), size, Lengths(*pair) if pair else None, seconds)
    sys.stdout.write(json.dumps(known) + "\n")
