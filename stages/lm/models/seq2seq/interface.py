"""What both translators offer, and what they share: the form of the sentences, the loss under teacher forcing, weights on disk.

A source is its ids and the end-of-text id. A target begins with the end-of-text id, which opens it, and ends with it: the decoder
reads all but the last id and predicts all but the first. Shorter sentences of a batch are padded at their end, with any id.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.models.network import Network

IGNORED = -100
"""The target where nothing is predicted."""


class State(Protocol):
    """What has been read of some sources and written of their translations."""

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was: rows may be repeated or left out, as beams are."""


class Seq2Seq(Network):
    """p(target | source), a token at a time."""

    vocab_size: int
    context_length: int
    label_smoothing: float

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """Logits of the next token after every token of `target`: source (batch, n), target (batch, m) -> (batch, m, vocab)."""
        raise NotImplementedError

    def start(self, source: Tensor, source_lengths: Tensor) -> Any:
        """Read the sources: the `State` of translations of which nothing has been written yet."""
        raise NotImplementedError

    def advance(self, state: Any, ids: Tensor) -> Tensor:
        """Read the next id of every translation (batch) into `state`, which changes; ln p(next | all so far): (batch, vocab)."""
        raise NotImplementedError

    def total_loss(self, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor) -> Tensor:
        """Sum of the cross-entropy over the target's tokens after the first, in nats; in training against smoothed targets."""
        logits = self(source, source_lengths, target[:, :-1])  # (batch, m - 1, vocab)
        return F.cross_entropy(
            logits.flatten(0, 1),
            predicted(target, target_lengths).flatten(),
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self.label_smoothing if self.training else 0.0,
        )

    @torch.no_grad()
    def token_log_probs(self, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor) -> Tensor:
        """ln p of each target token after the first, 0 in the padding: (batch, m - 1)."""
        logits = self(source, source_lengths, target[:, :-1]).transpose(1, 2)  # (batch, vocab, m - 1)
        return -F.cross_entropy(logits, predicted(target, target_lengths), ignore_index=IGNORED, reduction="none")


def padding(lengths: Tensor, width: int) -> Tensor:
    """(batch, width): False in the first `lengths` (batch) positions of each row, True after them."""
    return torch.arange(width, device=lengths.device) >= lengths[:, None]


def predicted(target: Tensor, lengths: Tensor) -> Tensor:
    """What each token of `target` but the last predicts: (batch, m - 1), IGNORED in the padding."""
    return target[:, 1:].masked_fill(padding(lengths - 1, target.shape[1] - 1), IGNORED)
