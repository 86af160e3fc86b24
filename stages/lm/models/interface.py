"""What every language model offers, whether its parameters are counts or were found by gradient descent."""

from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

from torch import Tensor

from stages.lm.tokens import TokenArray


class State(Protocol):
    """What a batch of texts has been read of."""

    def put(self, rows: Tensor, other: Any) -> None:
        """These rows become those of `other`, a state of the same model whose rows have all read equally many tokens."""

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was: rows may be repeated or left out."""


@runtime_checkable
class LanguageModel(Protocol):
    """A distribution over the next token, given the tokens so far. All probabilities are natural logarithms."""

    trained_by: Literal["counting", "gradient"]
    vocab_size: int
    context_length: Any
    """How many tokens a prediction may see at most (int); None means any number."""

    def num_parameters(self) -> int:
        """How many numbers it has learned."""

    def token_log_probs(self, ids: Tensor) -> Tensor:
        """ln p(ids[:, t + 1] | ids[:, : t + 1]): (batch, length) -> (batch, length - 1); length <= context_length + 1."""

    def start(self, batch: int) -> Any:
        """The `State` of `batch` sequences of which nothing has been read yet."""

    def advance(self, state: Any, ids: Tensor) -> Tensor:
        """Read `ids` (batch, n), n >= 1, into `state`, which changes; ln p(next | all read so far): (batch, vocab_size).

        After `put` rows may have read different numbers of tokens; then n is 1, and a row that has read `context_length` is full.
        """

    def save(self, folder: Path) -> None:
        """Write the weights to `folder/model.safetensors`."""

    @classmethod
    def from_settings(cls, settings: Any, vocab_size: int) -> Self:
        """An untrained model; its random numbers come from torch's global generator."""

    @classmethod
    def load(cls, folder: Path, settings: Any, vocab_size: int) -> Self:
        """The model whose weights `save` wrote. Raises UserError if they do not fit the settings."""


class GradientModel(Protocol):
    """A model trained by gradient descent; a torch.nn.Module.

    One that carries a state from batch to batch has `carry(batch)` too, which gives the state with which a text begins, tensors
    with the batch as first dimension; its `total_loss(*tensors, *carry)` returns the sum and the state after these tokens.
    """

    def total_loss(self, *tensors: Tensor) -> Any:
        """The sum of -ln p over all predictions of a batch, in nats."""


class CountingModel(LanguageModel, Protocol):
    """A model trained by counting, in one pass over the tokens."""

    def fit(self, tokens: TokenArray) -> None:
        """Count the tokens of a split."""
