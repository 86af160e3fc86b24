"""Streams of text for models that carry a state from batch to batch (truncated backpropagation through time, Williams and Peng
1990): every example goes on where the same example of the batch before it ended.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from stages.lm.errors import UserError
from stages.lm.tokens import TokenArray
from stages.lm.training.batches import Batch, read_windows
from stages.lm.training.permutation import mix
from stages.lm.training.settings import TrainingSettings
from stages.lm.training.windows import validation_batches


class StreamData:
    """The tokens cut into `batch_size` streams, read side by side, `context_length` tokens a step.

    When they end an epoch is over: all start again, the carried state anew, from an offset that is the epoch's own.
    """

    def __init__(self, splits: Mapping[str, TokenArray], context_length: int, settings: TrainingSettings) -> None:
        """Raises UserError where the streams would be shorter than one step."""
        self.tokens, self.context_length, self.seed = splits["train"], context_length, settings.seed
        size, length = settings.batch_size, len(self.tokens.ids)
        self.stride = (length - 1) // size
        self.steps_per_epoch = self.stride // context_length
        if self.steps_per_epoch == 0:
            raise UserError(
                f"training.batch_size {size:,} times model.context_length {context_length:,} is more than the train split's "
                f"{length:,} tokens; lower one of them, or give the corpus more text"
            )
        self.rows = np.arange(size, dtype=np.int64) * self.stride
        self.offsets = length - int(self.rows[-1]) - self.steps_per_epoch * context_length
        self.tokens_per_step = size * context_length
        self._validation = validation_batches(splits["valid"], context_length, settings.validation_windows, size)

    def starts(self, step: int) -> NDArray[np.int64]:
        """Where the examples of a step's batch start: (batch_size,)."""
        epoch, read = divmod(step, self.steps_per_epoch)
        offset = mix(mix(np.uint64(self.seed), np.uint64(epoch)), np.uint64(0)) % np.uint64(self.offsets)
        return self.rows + int(offset) + read * self.context_length

    def batch(self, step: int) -> Batch:
        """The next tokens of every stream, and the one before them: ids (batch_size, context_length + 1)."""
        ids = read_windows(self.tokens.ids, self.starts(step), self.context_length + 1)
        return Batch((ids,), self.tokens_per_step, fresh=step % self.steps_per_epoch == 0)

    def validation(self) -> Iterator[Batch]:
        return iter(self._validation)
