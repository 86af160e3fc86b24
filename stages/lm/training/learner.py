"""A model with its optimizer: what one step changes."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stages.lm.errors import UserError
from stages.lm.training import machine
from stages.lm.training.batches import Batch
from stages.lm.training.clipping import clip_gradients, gradient_norm, gradients_of
from stages.lm.training.data import Data
from stages.lm.training.distributed import ALONE, Ranks
from stages.lm.training.engines import Engine, recompute_blocks, spread
from stages.lm.training.optimizer import build_optimizer
from stages.lm.training.settings import TrainingSettings
from stages.lm.training.sharding import whole

COMPILED_TOLERANCE = 0.2
"""By how much the first gradient's norm may differ where code is compiled: rounding, and what dropout draws."""


class Step(NamedTuple):
    """What one step measured; tensors on the device, so that nobody has to wait for it."""

    loss: Tensor
    """Nats per predicted token, before the step."""
    norm: Tensor
    """The gradient's, before clipping."""


class Learner:
    """A model, its optimizer, and the state that it carries from batch to batch, if it does.

    A batch goes through the model in micro-batches. Each adds the gradient of its sum of losses, divided by the predictions of
    the whole batch, so that the step is the same, beyond rounding, however the batch is cut, among `ranks` too: each has a
    learner of its own, and gives it its rows.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrainingSettings,
        device: torch.device,
        ranks: Ranks = ALONE,
        engine: Engine = "ddp",
    ) -> None:
        """Expects the process's threads and arithmetic to be set: see `machine.prepare`."""
        self.model, self.settings, self.device, self.ranks = model.to(device).train(), settings, device, ranks
        if settings.activation_checkpointing:
            recompute_blocks(model)
        self.engine = spread(model, ranks, engine)
        self.optimizer = build_optimizer(model, settings)
        self.carry: tuple[Tensor, ...] = ()
        self.plain_loss: Callable[..., Any] = self.engine.total_loss
        self.total_loss = machine.compiled(self.plain_loss, settings, device)
        self.is_checked = self.total_loss is self.plain_loss
        self.records_graphs = machine.uses_graphs(settings, device)
        if self.records_graphs:  # a graph overwrites what it gave before; added to memory of their own, gradients stay
            for parameter in model.parameters():
                parameter.grad = torch.zeros_like(parameter)

    def step(self, batch: Batch, learning_rate: float) -> Step:
        """One optimizer step. Raises UserError where compiled code computes another gradient than the model."""
        plain = None if self.is_checked else self._plain_norm(batch)
        loss, self.carry = self._accumulate(batch.to(self.device), self.total_loss)
        norm = clip_gradients(self.model.parameters(), self.settings.clip_norm)
        if plain is not None:
            self._check(norm.item(), plain)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        return Step(loss, norm)

    def gradient(self, batch: Batch) -> Tensor:
        """Leave the gradient of a step in `.grad` without taking the step, modules called one by one; returns the loss."""
        loss, _ = self._accumulate(batch.to(self.device), self.plain_loss)
        return loss

    def _plain_norm(self, batch: Batch) -> float:
        """The norm of the gradient by the model itself; what it draws is drawn again later."""
        with torch.random.fork_rng([torch.cuda.current_device()] if self.device.type == "cuda" else []):
            self.gradient(batch)
        return gradient_norm(gradients_of(self.model.parameters())).item()

    def _check(self, norm: float, plain: float) -> None:
        """Compilers have been seen to lose gradients without a word; the loss then hardly falls."""
        if math.isfinite(plain) and not abs(norm - plain) <= COMPILED_TOLERANCE * plain:
            raise UserError(
                f"training.compile: as torch {torch.__version__} compiles it, the gradient of the first step has the norm "
                f"{norm:.4g}, but the model's has {plain:.4g}; set compile to false, or take another version of torch"
            )
        self.is_checked = True

    def _accumulate(self, batch: Batch, total_loss: Callable[..., Any]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Leave the gradient of the mean loss in `.grad`; returns that loss, in nats per token, and the state after the batch."""
        self.optimizer.zero_grad(set_to_none=not self.records_graphs)
        carry = self.new_carry(len(batch.tensors[0])) if batch.fresh else self.carry
        total = torch.zeros((), device=self.device)
        carried: list[tuple[Tensor, ...]] = []
        parts = list(batch.parts(self.settings.micro_batch))
        for number, (rows, part) in enumerate(parts, start=1):
            with self.engine.gradients(complete=number == len(parts)):
                with machine.autocast(self.settings, self.device):
                    result = total_loss(*part, *(state[rows] for state in carry))
                loss, after = result if carry else (result, ())
                (loss / (batch.predictions / self.ranks.count)).backward()  # engines take the mean over the ranks
            total += loss.detach()
            carried.append(tuple(state.detach().clone() if self.records_graphs else state.detach() for state in after))
        return self.ranks.sum(total) / batch.predictions, tuple(torch.cat(states) for states in zip(*carried, strict=True))

    def new_carry(self, batch_size: int) -> tuple[Tensor, ...]:
        """The state with which a stream of text begins; nothing for models that carry none."""
        carry = getattr(self.model, "carry", None)
        return () if carry is None else tuple(whole(state).to(self.device) for state in carry(batch_size))

    @torch.no_grad()
    def validate(self, data: Data) -> float:
        """Mean loss over the validation examples, in nats per token."""
        self.model.eval()
        total, predictions = torch.zeros((), dtype=torch.float64), 0
        for batch in data.validation():
            here = batch.to(self.device)
            with machine.autocast(self.settings, self.device):
                if here.counted is None:
                    loss = self.plain_loss(*here.tensors)
                else:
                    loss = -self.engine.token_log_probs(here.tensors[0])[here.counted].sum()
            total, predictions = total + loss.item() / batch.copies, predictions + batch.predictions
        self.model.train()
        return self.ranks.sum(total).item() / predictions
