"""A recurrent language model: embedding, stacked recurrent layers, a linear head that gives logits.

Whatever was read is in a state of fixed size, so the next token always costs the same, and there is no end of the context.
Training goes back through a piece of text at a time and carries the state on to the next piece: truncated backpropagation
through time (Williams and Peng 1990; Mikolov et al. 2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lm.models.head_loss import HeadLoss
from stages.lm.models.layers import Embedding, Linear
from stages.lm.models.network import Network
from stages.lm.models.recurrent.layer import RecurrentLayer

Carry = tuple[Tensor, ...]
"""The state of all layers, (batch, layers, d_model) each: h, and for an LSTM c."""

PIECE = 512
"""Positions of which the logits are in memory at once when a long text is predicted."""


@dataclass
class RecurrentState:
    """What the model has read, in as many numbers however long it was."""

    carry: Carry

    def put(self, rows: Tensor, other: "RecurrentState") -> None:
        """These rows become those of `other`."""
        for memory, new in zip(self.carry, other.carry, strict=True):
            memory[rows] = new

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was: rows may be repeated or left out."""
        self.carry = tuple(memory[rows] for memory in self.carry)


class RecurrentLM(Network):
    """The language model; its forward pass maps ids (batch, length) to logits (batch, length, vocab_size)."""

    learns_from: ClassVar[str] = "streams"
    context_length = None

    def __init__(self, vocab_size: int, layers: Sequence[RecurrentLayer], tie_embeddings: bool = False) -> None:
        super().__init__()
        self.vocab_size, d_model = vocab_size, layers[0].d_model
        self.state_shape = (len(layers), d_model)
        self.memories = layers[0].memories
        self.layers = nn.ModuleList(layers)
        self.token_embeddings = Embedding(vocab_size, d_model)
        self.lm_head, self.head_loss = Linear(d_model, vocab_size), HeadLoss()
        if tie_embeddings:
            self.token_embeddings.weight = self.lm_head.weight

    def carry(self, batch: int) -> Carry:
        """The state of `batch` sequences of which nothing has been read: zeros."""
        return tuple(self.lm_head.weight.new_zeros(batch, *self.state_shape) for _ in range(self.memories))

    def features(self, ids: Tensor, carry: Carry) -> tuple[Tensor, Carry]:
        """The last layer's outputs (batch, length, d_model) for ids that follow what `carry` holds, and the state after them."""
        x = self.token_embeddings(ids)
        states = []
        for index, layer in enumerate(self.layers):
            x, state = layer(x, [memory[:, index] for memory in carry])
            states.append(state)
        return x, tuple(torch.stack(memory, dim=1) for memory in zip(*states, strict=True))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next token at every position."""
        return self.lm_head(self.features(ids, self.carry(len(ids)))[0])  # type: ignore[no-any-return]

    def total_loss(self, ids: Tensor, *carry: Tensor) -> Any:
        """Sum of -ln p over ids[:, 1:] (batch, length + 1), in nats; with a carry, also the state after ids[:, :-1]."""
        x, after = self.features(ids[:, :-1], carry or self.carry(len(ids)))
        total = self.head_loss(x, self.lm_head.weight, ids[:, 1:])
        return (total, after) if carry else total

    @torch.no_grad()
    def token_log_probs(self, ids: Tensor) -> Tensor:
        """ln p(ids[:, t + 1] | ids[:, : t + 1]): (batch, length) -> (batch, length - 1), for any length."""
        carry, found = self.carry(len(ids)), []
        for piece, targets in zip(torch.split(ids[:, :-1], PIECE, 1), torch.split(ids[:, 1:], PIECE, 1), strict=True):
            x, carry = self.features(piece, carry)
            found.append(-F.cross_entropy(self.lm_head(x).transpose(1, 2), targets, reduction="none"))
        return torch.cat(found, dim=1)

    def start(self, batch: int) -> RecurrentState:
        return RecurrentState(self.carry(batch))

    @torch.no_grad()
    def advance(self, state: RecurrentState, ids: Tensor) -> Tensor:
        """ln p(next | all read so far): (batch, vocab)."""
        x, state.carry = self.features(ids, state.carry)
        wide = torch.promote_types(x.dtype, torch.float32)
        return torch.log_softmax(self.lm_head(x[:, -1]), dim=-1, dtype=wide)

    @classmethod
    def from_settings(cls, settings: Any, vocab_size: int, is_fused: bool = True) -> Self:
        """An untrained model of the family."""
        raise NotImplementedError
