"""What an estimate is told about the machine that will train, about prices, and about the processes that share the work."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from stages.lm.settings import Settings
from stages.lm.training.settings import TrainSettings


class MachineSettings(Settings):
    """The machine that will train, and what it costs. It changes what is promised, never a result. There is one device for each
    process of the training; the time that they need for each other is not estimated."""

    device: Literal["here", "a100", "a100-pcie", "a100-40gb", "a100-40gb-pcie", "h100", "h100-pcie", "h200", "b200", "gb200",
                    "rtx-4090", "rtx-3060", "m2", "laptop", "desktop"] = "here"  # fmt: skip
    """here: this machine, as it is measured. The others: what their data sheets say, and no hardware is needed."""
    attainable: float = Field(default=0.5, gt=0, le=1)
    """The share of its peak rate and of its memory bandwidth that a data sheet's device reaches in practice."""
    watts: PositiveFloat | None = None
    """What one device draws; by default what the data sheet says, and nothing for this machine."""
    price_per_kwh: NonNegativeFloat | None = None
    """Of electricity, in your currency."""
    price_per_device_hour: NonNegativeFloat | None = None
    """Of a rented device, in your currency."""


class SpreadSettings(Settings):
    """The processes that train one model together."""

    processes: PositiveInt = 1
    engine: Literal["ddp", "fsdp"] = "ddp"
    """ddp: each holds the whole model; fsdp: each holds a shard. Of one process it means nothing."""

    def share_of(self, batch_size: int) -> int:
        """The sequences of each process."""
        return max(1, batch_size // self.processes)

    def resolved(self) -> dict[str, object]:
        return super().resolved() if self.processes > 1 else {"processes": 1}


class EstimateSettings(TrainSettings):
    """Settings of the estimate stage: those of training, the machine, the processes, and what is known of decoding."""

    machine: MachineSettings = MachineSettings()
    spread: SpreadSettings = SpreadSettings()
    texts_at_once: PositiveInt = 1
    """How many texts the trained model will write at once: the speed of that is estimated too."""

    @property
    def alone(self) -> Self:
        """One of the processes with its share of the batch, as if there were no others."""
        share = self.spread.share_of(self.training.batch_size)
        return self.with_training({"batch_size": share}).model_copy(update={"spread": SpreadSettings()})

    def resolved(self) -> dict[str, object]:
        own = {"machine": self.machine.resolved(), "spread": self.spread.resolved(), "texts_at_once": self.texts_at_once}
        return super().resolved() | own
