"""Steps by the Trainer of Hugging Face transformers instead of our own loop: `training.backend: trainer`.

Trainer does what makes a step: micro-batches, forward and backward passes, clipping, the optimizer's update. It is given our
batches by counter, our optimizer with its groups of parameters, and our learning rates, so that a setting means the same here and
there: on a CPU both end with the same bytes. Around the steps everything is the run's own: metrics, validation, checkpoints,
stops. So it goes on after a kill as the loop does, exactly: each life of a run is a Trainer for the steps left. Trainer's own
checkpoints, which hold pickles and are written in place, are not used.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import IterableDataset

from stages.lm.errors import INSTALL, UserError
from stages.lm.training.data import Data
from stages.lm.training.learner import Step
from stages.lm.training.loop import Run
from stages.lm.training.settings import TrainingSettings

PACKAGES = ("transformers", "accelerate")


class TrainerRun(Run):
    """A run whose steps Trainer does."""

    def __post_init__(self) -> None:
        """Raises UserError where there are several processes, or the packages are not installed."""
        if self.ranks.count > 1:
            raise UserError("training.backend: trainer trains in one process; ask for one, or take the backend loop")
        missing = [name for name in PACKAGES if find_spec(name) is None]
        if missing:
            raise UserError(f"training.backend: trainer, unlike loop, needs the package {' and '.join(missing)}; {INSTALL}")
        super().__post_init__()

    def take_steps(self, after_step: Callable[[], None]) -> None:
        left = self.settings.steps - self.done.step
        if not left:
            return
        from transformers import PrinterCallback, Trainer

        trainer = Trainer(
            MeanLoss(self.learner.model),
            self.arguments(left),
            train_dataset=Rows(self.data, self.done.step, self.settings.steps),
            data_collator=collated,
            optimizers=(self.learner.optimizer, Schedule(self.learner.optimizer, self.settings, self.done.step)),
            callbacks=[self.callback(after_step)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    def arguments(self, steps: int) -> Any:
        """What Trainer is told beside. It logs after each step, which is how the run learns of it, and waits for the device."""
        from transformers import TrainingArguments

        settings, device = self.settings, self.learner.device
        arguments = TrainingArguments(
            output_dir=str(self.state.folder),
            max_steps=steps,
            per_device_train_batch_size=settings.micro_batch,
            gradient_accumulation_steps=settings.batch_size // settings.micro_batch,
            max_grad_norm=settings.clip_norm,
            bf16=settings.precision == "bf16",
            use_cpu=device.type == "cpu",
            seed=settings.seed,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        if device.type == "cuda":
            arguments._n_gpu = 1  # it would spread the model over all that it sees
        return arguments

    def callback(self, after_step: Callable[[], None]) -> Any:
        """What Trainer calls before a step, and when it has done it."""
        from transformers import TrainerCallback

        run = self

        class Steps(TrainerCallback):  # type: ignore[misc]
            began = 0.0

            def on_step_begin(self, *_: Any, **__: Any) -> None:
                run.seed(run.done.step + 1)
                run.learner.optimizer.zero_grad()  # what was looked at after the last step may have left some
                self.began = time.perf_counter()

            def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
                if "loss" in logs:  # the last time it tells of the whole training instead
                    step = Step(*(torch.tensor(logs[name], device=run.learner.device) for name in ("loss", "grad_norm")))
                    run.count(step, run.data.tokens_per_step, time.perf_counter() - self.began)
                    after_step()

        return Steps()


class MeanLoss(nn.Module):
    """A model of ours as Trainer wants one: its forward pass gives the mean loss, in nats per token."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """tensors: what `total_loss` takes, windows of ids (batch, length + 1) first."""
        total: Tensor = self.model.total_loss(*tensors)  # type: ignore[operator]
        return {"loss": total / tensors[0][:, 1:].numel()}


class Rows(IterableDataset[tuple[Tensor, ...]]):
    """The rows of the batches of some steps, one after the other: Trainer cuts them into micro-batches again."""

    def __init__(self, data: Data, first: int, stop: int) -> None:
        self.data, self.steps = data, range(first, stop)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for step in self.steps:
            yield from zip(*self.data.batch(step).tensors, strict=True)


def collated(rows: Sequence[tuple[Tensor, ...]]) -> dict[str, list[Tensor]]:
    """Rows as the arguments of `MeanLoss.forward`."""
    return {"tensors": [torch.stack(column) for column in zip(*rows, strict=True)]}


class Schedule(LRScheduler):
    """The learning rates of the settings, from the step after `done` on."""

    def __init__(self, optimizer: torch.optim.Optimizer, settings: TrainingSettings, done: int) -> None:
        self.settings, self.done = settings, done
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """For each group of parameters; `last_epoch` counts the steps since `done`."""
        return [self.settings.learning_rate_at(self.done + self.last_epoch + 1)] * len(self.optimizer.param_groups)
