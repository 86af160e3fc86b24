"""Weights & Biases as an optional second reader of the metrics: it never influences a run, and is imported when asked for."""

from typing import Any, Literal, Protocol

from stages.lm.errors import UserError

Mode = Literal["disabled", "offline", "online"]
MODES: tuple[Mode, ...] = ("disabled", "offline", "online")


class Tracker(Protocol):
    """Takes records of metrics as they come."""

    def log(self, record: dict[str, Any]) -> None:
        """Show the values of one step (under the key "step")."""

    def close(self) -> None:
        """No more records will come."""


class NoTracker:
    """Shows nothing."""

    def log(self, record: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


class WandbTracker:
    """A run at Weights & Biases whose id is that of the artifact, so that a resumed run goes on as the same."""

    def __init__(self, mode: Mode, run_id: str, settings: dict[str, Any]) -> None:
        """Raises UserError if wandb is not installed or cannot start a run."""
        try:
            import wandb
        except ImportError:
            raise UserError("--wandb: the package wandb is not installed; install it, or use --wandb disabled") from None
        try:
            self.run = wandb.init(
                project="stagecraft",
                id=run_id,
                name=run_id,
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


def start(mode: Mode, run_id: str, settings: dict[str, Any]) -> Tracker:
    """The tracker for a mode."""
    return NoTracker() if mode == "disabled" else WandbTracker(mode, run_id, settings)
