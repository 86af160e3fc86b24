"""What the families of models learn from, by the name that a family's settings give (`learns_from`).

Whatever it is, the batch of a step is a pure function of (seed, step): nothing is remembered from batch to batch, so that a run
goes on anywhere, any step can be replayed, and ranks take slices of one batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stages.lm.errors import UserError
from stages.lm.tokens import PairArray, TokenArray, open_split
from stages.lm.training.batches import Batch
from stages.lm.training.contexts import ContextData
from stages.lm.training.masked import MaskedData
from stages.lm.training.pairs import PairData
from stages.lm.training.settings import TrainingSettings, TrainSettings
from stages.lm.training.streams import StreamData
from stages.lm.training.windows import WindowData


@dataclass(frozen=True)
class Source:
    """What a token artifact offers."""

    folder: Path
    """Where its arrays are."""
    vocab_size: int
    end_of_text: int

    def split(self, name: str) -> Any:
        """The documents of a split: a `TokenArray`, or a `PairArray` of a parallel corpus."""
        return open_split(self.folder, name)

    def splits(self) -> dict[str, Any]:
        """The splits that training reads: `train` and `valid`."""
        return {name: self.split(name) for name in ("train", "valid")}


class Data(Protocol):
    """The examples of a training run."""

    tokens_per_step: int
    """Of one step: predictions, or what is read where not all of it is predicted."""

    def batch(self, step: int) -> Batch:
        """The examples of step 0, 1, ...: the same whenever one asks."""

    def validation(self) -> Iterator[Batch]:
        """Examples of the split `valid`, the same every time."""


KINDS: dict[str, Callable[[Source, Any, TrainingSettings], Data]] = {
    "windows": lambda source, model, training: WindowData(source.splits(), model.context_length, training),
    "pairs": lambda source, model, training: PairData(source.splits(), model.context_length, source.end_of_text, training),
    "masked": lambda source, model, training: MaskedData(
        source.splits(), source.folder, source.vocab_size, source.end_of_text, model, training
    ),
    "contexts": lambda source, model, training: ContextData(
        source.splits(), source.vocab_size, source.end_of_text, model, training
    ),
    "streams": lambda source, model, training: StreamData(source.splits(), model.context_length, training),
}


def open_data(settings: TrainSettings, source: Source) -> Data:
    """The data that the settings' family learns from. Raises UserError where a split is too short for it, or of another kind."""
    model: Any = settings.model
    return KINDS[model.learns_from](source, model, settings.training)


def check_kind(family: str, task: str, train: TokenArray | PairArray) -> None:
    """Raise UserError unless a family for this task can learn from this split."""
    if isinstance(train, PairArray) and task != "translation":
        raise UserError(f"model.family: {family} models single texts, but the corpus holds pairs of sentences; give it another")
    if isinstance(train, TokenArray) and task == "translation":
        raise UserError(f"model.family: {family} translates, but the corpus holds single texts; give it a parallel one")
