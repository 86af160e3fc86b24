"""Training by gradient descent: a few small functions around one optimizer step."""

import io
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from stages.lm.errors import Stopped, UserError
from stages.lm.models.interface import LanguageModel
from stages.lm.progress import progress
from stages.lm.training import machine
from stages.lm.training.batches import ValidationSet, WindowSampler
from stages.lm.training.checkpoint import load_checkpoint, save_checkpoint
from stages.lm.training.clipping import clip_gradients
from stages.lm.training.metrics import METRICS, TIMING, RunLog
from stages.lm.training.optimizer import build_optimizer
from stages.lm.training.schedule import cosine_schedule
from stages.lm.training.settings import TrainingSettings
from stages.lm.training.signals import StopRequest, stop_on_signals
from stages.lm.training.state import Progress, StateFolder
from stages.lm.training.tracking import NoTracker, Tracker

log = logging.getLogger("stagecraft")

STATE = "state.safetensors"


class Learner:
    """A model with its optimizer: what one step changes."""

    def __init__(self, model: nn.Module, settings: TrainingSettings, device: torch.device) -> None:
        """Sets the process's threads and arithmetic from the settings: see `machine.prepare`."""
        self.model, self.settings, self.device = model.to(device), settings, device
        self.optimizer = build_optimizer(model, settings)
        loss = cast(Callable[[Tensor], Tensor], model.loss)
        self.loss: Callable[[Tensor], Tensor] = torch.compile(loss) if settings.compile else loss

    def step(self, ids: Tensor, learning_rate: float) -> tuple[float, float]:
        """One optimizer step on `ids` (batch, context_length + 1); returns the loss in nats per token and the gradient norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad()
        with machine.autocast(self.settings, self.device):
            loss = self.loss(ids.to(self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_gradients(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        return loss.item(), norm.item()

    @torch.no_grad()
    def validate(self, validation: ValidationSet) -> float:
        """Mean loss over the counted tokens of the windows, in nats per token."""
        model = cast(LanguageModel, self.model)
        total = 0.0
        size = self.settings.batch_size
        for ids, counted in zip(torch.split(validation.ids, size), torch.split(validation.counted, size), strict=True):
            with machine.autocast(self.settings, self.device):
                log_probs = model.token_log_probs(ids.to(self.device))  # (batch, context_length)
            total -= log_probs[counted.to(self.device)].sum().item()
        return total / int(validation.counted.sum())

    def learning_rate(self, step: int) -> float:
        """The learning rate of step 1, 2, ...: the decay ends with the last one."""
        settings = self.settings
        return cosine_schedule(step, settings.learning_rate, settings.final_learning_rate, settings.warmup, settings.steps)


@dataclass
class Run:
    """A training run: the learner, its data, and where it leaves traces."""

    learner: Learner
    sampler: WindowSampler
    validation: ValidationSet
    state: StateFolder
    tracker: Tracker = field(default_factory=NoTracker)
    checkpoint_seconds: float = 300.0

    def __post_init__(self) -> None:
        self.settings = self.learner.settings
        self.log = RunLog(self.state.folder)
        self.done = Progress()
        self.tokens_per_step = self.settings.batch_size * self.sampler.context_length

    def train(self) -> None:
        """Train to the last step, from the last checkpoint if there is one.

        Raises Stopped after SIGTERM or SIGUSR1 (with a checkpoint saved), UserError if the loss is no longer a number.
        """
        self.resume()
        self.learner.model.train()
        saved = time.monotonic()
        total = self.settings.steps * self.tokens_per_step
        with (
            stop_on_signals() as stop,
            progress("train", total, " tokens", start=self.done.step * self.tokens_per_step) as bar,
        ):
            while self.done.step < self.settings.steps:
                loss = self.step()
                bar.update(self.tokens_per_step, loss=f"{loss:.3f}")
                if stop or time.monotonic() - saved >= self.checkpoint_seconds:
                    self.save()
                    saved = time.monotonic()
                self.raise_if_stopped(stop)

    def step(self) -> float:
        """One step, with its lines in the logs where they are due; returns the loss."""
        step = self.done.step + 1
        began = time.perf_counter()
        learning_rate = self.learner.learning_rate(step)
        loss, norm = self.learner.step(self.sampler.batch(self.done.step), learning_rate)
        self.done = Progress(step, self.done.seconds + time.perf_counter() - began)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise UserError(
                f"training: at step {step} the loss is {loss} and the gradient norm {norm}; lower training.learning_rate "
                f"({self.settings.learning_rate}) or raise training.warmup_steps ({self.settings.warmup})"
            )
        records: list[dict[str, float]] = []
        if self.is_due(self.settings.log_every):
            records.append({"loss": loss, "learning_rate": learning_rate, "gradient_norm": norm})
        if self.is_due(self.settings.validate_every):
            records.append({"validation_loss": self.validate()})
        if records:
            self.record(records)
        return loss

    def is_due(self, every: int) -> bool:
        """Whether what happens every so many steps, and after the last one, happens now."""
        return self.done.step % every == 0 or self.done.step == self.settings.steps

    def validate(self) -> float:
        self.learner.model.eval()
        loss = self.learner.validate(self.validation)
        self.learner.model.train()
        log.info("step %d of %d: validation loss %.4f nats/token", self.done.step, self.settings.steps, loss)
        return loss

    def record(self, records: list[dict[str, float]]) -> None:
        """Lines of metrics for this step, one line of timing, and all of it to the tracker."""
        tokens = self.done.step * self.tokens_per_step
        timing = {
            "step": self.done.step,
            "seconds": round(self.done.seconds, 4),
            "tokens_per_second": round(tokens / self.done.seconds, 1),
            "peak_memory_bytes": machine.peak_memory(self.learner.device),
        }
        self.log.add(TIMING, timing)
        shown: dict[str, float] = dict(timing)
        for values in records:
            metrics = {"step": self.done.step, "tokens": tokens, **values}
            self.log.add(METRICS, metrics)
            shown |= metrics
        self.tracker.log(shown)

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        buffer = io.BytesIO()
        save_checkpoint(self.learner.model, self.learner.optimizer, self.done.step, buffer)
        logs = {name: text.encode() for name, text in self.log.texts().items()}
        self.state.write(self.done, {STATE: buffer.getvalue(), **logs})

    def resume(self) -> None:
        """Go back to the last checkpoint, or to the beginning."""
        found = self.state.latest()
        if found is None:
            self.log.restore({})
            return
        self.done, folder = found
        load_checkpoint(folder / STATE, self.learner.model, self.learner.optimizer)
        self.log.restore({name: (folder / name).read_text(encoding="utf-8") for name in (METRICS, TIMING)})
        log.info("going on after step %d, from %s", self.done.step, folder)

    def raise_if_stopped(self, stop: StopRequest) -> None:
        if stop and self.done.step < self.settings.steps:
            raise Stopped(
                f"stopped by {stop.name} after step {self.done.step} of {self.settings.steps}; the same command goes on"
            )
