"""Other readers of the metrics, beside the logs: they never influence a run, and are imported when asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from stages.lm.errors import UserError
from stages.lm.nested import leaves

Mode = Literal["disabled", "offline", "online"]
MODES: tuple[Mode, ...] = ("disabled", "offline", "online")

BOARDS = Path("logs") / "tensorboard"
"""A folder for each run is made here."""


class Tracker(Protocol):
    """Takes records of metrics as they come."""

    def log(self, record: dict[str, Any]) -> None:
        """Show the values of one step (under the key "step")."""

    def close(self) -> None:
        """No more records will come."""


class Trackers:
    """Shows every record to each of some trackers, or to none."""

    def __init__(self, trackers: Sequence[Tracker] = ()) -> None:
        self.trackers = trackers

    def log(self, record: dict[str, Any]) -> None:
        for tracker in self.trackers:
            tracker.log(record)

    def close(self) -> None:
        for tracker in self.trackers:
            tracker.close()


class WandbTracker:
    """A run at Weights & Biases whose id is that of the artifact, so that a resumed run goes on as the same.

    A run that this process has begun already, as `wandb agent` wants it, is taken as it is.
    """

    def __init__(self, mode: Mode, run_id: str, settings: dict[str, Any], group: str | None = None) -> None:
        """Raises UserError if wandb is not installed or cannot start a run."""
        try:
            import wandb
        except ImportError:
            raise UserError("--wandb: the package wandb is not installed; install it, or use --wandb disabled") from None
        try:
            self.run = wandb.run or wandb.init(
                project="stagecraft",
                id=run_id,
                name=run_id,
                group=group,
                mode=mode,
                resume="allow",
                config=settings,
                settings=wandb.Settings(silent=True),
            )
        except (wandb.Error, OSError) as error:
            raise UserError(f"--wandb: Weights & Biases cannot start a run: {error}; use --wandb offline or disabled") from None

    def log(self, record: dict[str, Any]) -> None:
        self.run.log({name: value for name, value in record.items() if name != "step"}, step=record["step"])

    def close(self) -> None:
        self.run.finish()


class TensorBoardTracker:
    """Event files for TensorBoard, in a folder of the run's own."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError if tensorboard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("--tensorboard: the package tensorboard is not installed; install it, or leave this out") from None
        self.writer = SummaryWriter(str(folder))

    def log(self, record: dict[str, Any]) -> None:
        for name, value in flat(record).items():
            if name != "step":
                self.writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        self.writer.close()


def flat(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a record by name; those in mappings below it as `above/name`."""
    return {name: value for name, value in leaves(record, "/") if isinstance(value, int | float)}


def start(wandb: Mode, tensorboard: bool, run_id: str, settings: dict[str, Any], group: str | None = None) -> Tracker:
    """The trackers that are asked for; Weights & Biases shows the runs of a `group` as one."""
    trackers: list[Tracker] = []
    if wandb != "disabled":
        trackers.append(WandbTracker(wandb, run_id, settings, group))
    if tensorboard:
        trackers.append(TensorBoardTracker(BOARDS / run_id))
    return Trackers(trackers)
