"""One text as a model reads it, forwards and back: what comes after each of its last tokens, wherever it was changed."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.inference.loading import Trained
from stages.lm.models.ngram.model import NgramLM
from stages.lm.models.transformer import TransformerLM


class Reader(Protocol):
    """A model with one text."""

    def room(self, ids: Sequence[int]) -> int | None:
        """How many tokens may follow `ids` before the model, as in plain decoding, starts anew; None for any number."""

    def after(self, ids: Sequence[int], count: int) -> Tensor:
        """ln p(next) after each of the last `count` of the ids, from the boundary on: (count, vocab)."""


class TransformerReader:
    """Keeps what the last call read, and reads what is new. The context slides as in `generation`.

    Where a text that had slid becomes shorter again, it goes back too: half a context is seen, or the whole text.
    """

    def __init__(self, model: TransformerLM, device: torch.device) -> None:
        """The model may also be a compiled one."""
        self.model, self.device = model, device
        self.begin, self.read = 0, list[int]()
        self.state = model.start(1, can_go_back=True)

    def room(self, ids: Sequence[int]) -> int:
        context, seen = self.model.context_length, len(ids) - self.begin
        half = max(1, context // 2)
        if seen > context or (self.begin > 0 and seen < half):
            kept = half if self.read else context
            self.begin, self.read, self.state = max(0, len(ids) - kept), [], self.model.start(1, can_go_back=True)
        return context - (len(ids) - self.begin)

    def after(self, ids: Sequence[int], count: int) -> Tensor:
        self.room(ids)
        seen = list(ids[self.begin :])
        known = min(_common(self.read, seen), len(seen) - count)
        self.state.go_back(known)
        self.read = seen
        return self.model.advance_each(self.state, torch.tensor([seen[known:]], device=self.device))[0, -count:]


class NgramReader:
    """Sees the last tokens alone."""

    def __init__(self, model: NgramLM) -> None:
        self.model = model

    def room(self, ids: Sequence[int]) -> None:  # noqa: ARG002
        return None

    def after(self, ids: Sequence[int], count: int) -> Tensor:
        ends = range(len(ids) - count + 1, len(ids) + 1)
        seen = [torch.tensor([ids[max(0, end - self.model.order) : end]]) for end in ends]
        return torch.cat([self.model.advance(self.model.start(1), one) for one in seen])


def reader(trained: Trained) -> Reader:
    """A reader of one text. Raises UserError for models that cannot go back in one: their state forgets how it came about."""
    match trained.model:
        case NgramLM() as counts:
            return NgramReader(counts)
        case model if getattr(model, "keeps_all", False):
            return TransformerReader(model, trained.device)  # type: ignore[arg-type]
    raise UserError("is of a kind that cannot take tokens back; n-gram models and transformers without linear attention can")


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
