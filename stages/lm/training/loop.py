"""Training by gradient descent: a few small functions around one optimizer step."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stages.lm.errors import Paused, Stopped, UserError
from stages.lm.training import machine, watch
from stages.lm.training.batches import Batch
from stages.lm.training.checkpoint import load_with_extra, snapshot
from stages.lm.training.data import Data
from stages.lm.training.distributed import ALONE, Ranks
from stages.lm.training.learner import Learner, Step
from stages.lm.training.metrics import METRICS, TIMING, Averages, RunLog
from stages.lm.training.permutation import mix
from stages.lm.training.prefetch import prefetched
from stages.lm.training.signals import StopRequest, stop_on_signals
from stages.lm.training.state import Progress, Saver, StateFolder
from stages.lm.training.tracking import Tracker, Trackers
from stages.lm.training.view import View, view

log = logging.getLogger("stagecraft")

STATE = "state.safetensors"


@dataclass(frozen=True)
class Conduct:
    """How a run is carried out; nothing here influences its result."""

    checkpoint_seconds: float = 300.0
    """Time between checkpoints."""
    time_limit: float | None = None
    """Seconds after which the run stops with a checkpoint."""
    pause_at: int | None = None
    """The step after which the run ends with a checkpoint, to go on another time."""
    utilisation: float | None = None
    """The share of the device's matrix-product peak that one token per second is, if that is known."""
    sample_every: int | None = None
    """Steps between looks at what the model writes."""
    sample: Callable[[nn.Module, int], str] | None = None
    """What a model writes after a step; it uses no random numbers of torch's own."""


@dataclass
class Run:
    """A training run: the learner, its data, and where it leaves traces."""

    build: Callable[[], Learner]
    """Makes the learner with its initial weights."""
    data: Data
    state: StateFolder
    tracker: Tracker = field(default_factory=Trackers)
    conduct: Conduct = field(default_factory=Conduct)
    ranks: Ranks = ALONE
    """Those that do these steps together; only the first leaves traces."""

    def __post_init__(self) -> None:
        self.log, self.saver = RunLog(self.state.folder if self.ranks.is_first else None), Saver(self.state)
        self.begin()

    def begin(self) -> None:
        """Be at step 0."""
        self.done, self.learner = Progress(), self.build()
        self.settings = self.learner.settings
        self.averages = Averages(self.settings.clip_norm, self.learner.device)

    def train(self) -> None:
        """Train to the last step, from the last checkpoint if there is one.

        Raises Stopped after SIGTERM, SIGUSR1 or at the time limit, Paused after the step `pause_at` (with a checkpoint saved),
        UserError if the loss is no longer a number.
        """
        self.resume()
        self.pause()
        shown = view(self.done, self.settings.steps, self.data.tokens_per_step)
        with stop_on_signals(self.conduct.time_limit) as stop, self.saver, shown as line:
            self.saved = time.monotonic()
            self.take_steps(partial(self.after_step, stop, line))
            self.wait_for_checkpoint()

    def take_steps(self, after_step: Callable[[], None]) -> None:
        """Those that are left, with what is to be done after each."""
        for batch in prefetched(self.data, self.done.step, self.settings.steps, self.learner.device):
            self.step(batch)
            after_step()

    def after_step(self, stop: StopRequest, line: View) -> None:
        """Metrics and checkpoints, as far as they are due; raises what ends the run before its last step."""
        self.report(line)
        is_late = time.monotonic() - self.saved >= self.conduct.checkpoint_seconds
        stopped, due, failed = self.ranks.any(bool(stop), is_late, self.saver.has_failed)
        if failed:
            self.wait_for_checkpoint()
        if stopped or due or self.is_paused or self.state.is_milestone(self.done.step):
            self.save()
            self.saved = time.monotonic()
        self.pause()
        if stopped and self.done.step < self.settings.steps:
            self.stop(stop)

    def step(self, batch: Batch) -> None:
        """One step; nothing here waits for the device."""
        began, number = time.perf_counter(), self.done.step + 1
        self.seed(number)
        step = self.learner.step(batch, self.settings.learning_rate_at(number))
        self.count(step, batch.tokens, time.perf_counter() - began)

    def count(self, step: Step, tokens: int, seconds: float) -> None:
        """One more step is done."""
        self.averages.add(self.done.step + 1, step)
        self.done = replace(
            self.done, step=self.done.step + 1, tokens=self.done.tokens + tokens, seconds=self.done.seconds + seconds
        )

    def seed(self, number: int) -> None:
        """Let what the model draws in step 1, 2, ... (by dropout for example) depend on seed, step and rank alone."""
        drawn = mix(mix(np.uint64(self.settings.seed), np.uint64(self.ranks.rank)), np.uint64(number))
        torch.manual_seed(int(drawn))

    def report(self, line: View) -> None:
        """The lines of metrics that are due after this step."""
        records: list[dict[str, Any]] = []
        if self.is_due(self.settings.log_every):
            self.raise_if_not_finite()
            records.append({"learning_rate": self.settings.learning_rate_at(self.done.step), **self.averages.read()})
        if self.is_due(self.settings.validate_every):
            records.append({"validation_loss": self.validate()})
        if self.is_due(self.settings.watch_every):
            records.append({"norms": watch.norms(self.learner, self.data.batch(self.done.step - 1))})
        numbered = [{"step": self.done.step, "tokens": self.done.tokens, **record} for record in records]
        for record in numbered:
            self.log.add(METRICS, record)
        if numbered:
            timing = self.timing()
            self.log.add(TIMING, timing)
            self.tracker.log({name: value for record in (timing, *numbered) for name, value in record.items()})
        if self.conduct.sample is not None and self.is_due(self.conduct.sample_every):
            model = self.learner.engine.whole_model()
            if self.ranks.is_first:
                log.info("after step %d it writes: %s", self.done.step, self.conduct.sample(model, self.done.step))
        line.update(self.data.tokens_per_step, numbered)

    def timing(self) -> dict[str, Any]:
        """What the clock and the device say after this step."""
        rate, share = self.done.tokens / self.done.seconds, self.conduct.utilisation
        return {
            "step": self.done.step,
            "seconds": round(self.done.seconds, 4),
            "tokens_per_second": round(rate, 1),
            **({} if share is None else {"model_flops_utilisation": round(rate * share, 4)}),
            "peak_memory_bytes": machine.peak_memory(self.learner.device),
        }

    def is_due(self, every: int | None) -> bool:
        """Whether what happens every so many steps, and after the last one, happens now."""
        return every is not None and (self.done.step % every == 0 or self.done.step == self.settings.steps)

    def validate(self) -> float:
        loss = self.learner.validate(self.data)
        best = min(loss, self.done.best_validation_loss or loss)
        self.done = replace(self.done, best_validation_loss=best)
        log.info("step %d of %d: validation loss %.4f nats/token", self.done.step, self.settings.steps, loss)
        return loss

    def save(self) -> None:
        """Begin to write a checkpoint of this moment; the next steps need not wait for it."""
        self.raise_if_not_finite()
        carry = {f"carry.{index}": self.ranks.gather_rows(state) for index, state in enumerate(self.learner.carry)}
        extra, keep = carry | self.averages.state(), self.ranks.is_first
        taken = snapshot(self.learner.model, self.learner.optimizer, self.done.step, extra, keep)
        logs = {name: text.encode() for name, text in self.log.texts().items()}
        with self.ranks.together():
            if self.ranks.is_first:
                self.saver.save(self.done, {STATE: taken, **logs})

    def wait_for_checkpoint(self) -> None:
        """Until the last checkpoint is on disk; raises what went wrong with it, on all ranks."""
        with self.ranks.together():
            self.saver.wait()

    def resume(self) -> None:
        """Go back to the last checkpoint, or to the beginning."""
        found = self.ranks.from_first(self.state.latest)
        texts: dict[str, str] = {}
        if found is not None:
            self.load(*found)
            texts = {name: (found[1] / name).read_text(encoding="utf-8") for name in (METRICS, TIMING)}
            log.info("going on after step %d, from %s", self.done.step, found[1])
        with self.ranks.together():  # nobody reads any more when the first rank begins to write
            self.log.restore(texts)

    def load(self, done: Progress, folder: Path) -> None:
        self.done = done
        _, extra = load_with_extra(folder / STATE, self.learner.model, self.learner.optimizer)
        self.averages.load(extra)
        carry = [extra[f"carry.{index}"] for index in range(sum(name.startswith("carry.") for name in extra))]
        self.learner.carry = tuple(state[self.ranks.rows(len(state))].to(self.learner.device) for state in carry)

    def go_to(self, step: int) -> None:
        """Be after `step` steps, from the nearest checkpoint before or the beginning; the logs stay as they are."""
        self.wait_for_checkpoint()
        found = self.ranks.from_first(lambda: self.state.latest(at_most=step))
        self.begin()
        if found is not None:
            self.load(*found)
        for batch in prefetched(self.data, self.done.step, step, self.learner.device):
            self.step(batch)

    def raise_if_not_finite(self) -> None:
        """Raises UserError with the step and the layer at fault, which the step is done again to find."""
        bad = self.averages.first_not_finite()
        if not bad:
            return
        self.log.add(METRICS, {"step": bad, "tokens": self.done.tokens, "finite": False})
        self.go_to(bad - 1)
        self.seed(bad)
        found = self.ranks.everyones(watch.first_not_finite(self.learner, self.data.batch(bad - 1)))
        where = next(filter(None, found), None)
        raise UserError(
            f"training: at step {bad} the loss or its gradient is no longer finite, first {where or 'in the sum of the losses'}; "
            f"lower training.learning_rate ({self.settings.learning_rate}) or raise training.warmup_steps "
            f"({self.settings.warmup})"
        )

    @property
    def is_paused(self) -> bool:
        """Whether it has come as far as it was asked to, but not to its end."""
        return self.conduct.pause_at is not None and self.conduct.pause_at <= self.done.step < self.settings.steps

    def pause(self) -> None:
        """Raises Paused, when the checkpoint is on disk, if this is as far as the run was asked to come."""
        if self.is_paused:
            self.wait_for_checkpoint()
            raise Paused(f"paused after step {self.done.step} of {self.settings.steps}; without --pause-at it goes on")

    def stop(self, stop: StopRequest) -> None:
        """Raises Stopped, when the checkpoint is on disk."""
        self.wait_for_checkpoint()
        by, steps = stop.name or "another process", self.settings.steps
        raise Stopped(f"stopped by {by} after step {self.done.step} of {steps}; the same command goes on")
