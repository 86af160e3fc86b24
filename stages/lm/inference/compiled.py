"""A transformer whose next token is computed by compiled code: one pass over the weights, with nothing between its operations.

Compiling takes seconds to a minute, once for every number of rows and for every length that caches are looked at up to, which
doubles from `LEAST_REACH` on: it pays where many tokens are written. Prompts are read by the model itself, and what was drafted
by code for `DRAFT` tokens.
"""

from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.models.attention.caches import BlockCache
from stages.lm.models.transformer import TransformerLM, TransformerState

LEAST_REACH = 64
DRAFT = 8
"""Of more than four new tokens so many are read at once, or a multiple of it, of fewer 1, 2 or 4; in place of those that are
missing stands any token."""


class CompiledLM:
    """The language model, see `models.interface.LanguageModel`; it only decodes."""

    keeps_all = True

    def __init__(self, model: TransformerLM) -> None:
        self.model, self.vocab_size, self.context_length = model, model.vocab_size, model.context_length
        self._code: dict[Any, Any] = {}
        """Compiled methods by what they are compiled for."""

    def start(self, batch: int, can_go_back: bool = False) -> TransformerState:
        return self.model.start(batch, can_go_back)

    def advance(self, state: TransformerState, ids: Tensor) -> Tensor:
        """As the model's; rows do not slide, and the beginning of a text, if only of one token, is read by the model itself."""
        if ids.shape[1] > 1 or is_new(state):
            return self.model.advance(state, ids)
        positions, longest = state.take(1)
        return self._call(self.model.next_log_probs, ids, positions, state.caches, longest)

    def advance_each(self, state: TransformerState, ids: Tensor) -> Tensor:
        """As the model's, which itself reads the beginning of a text, and what has no room to be filled up."""
        new, read = ids.shape[1], state.longest if state.lengths is not None else state.length
        missing = filled_up(new) - new
        if is_new(state) or read + new + missing > self.context_length:
            return self.model.advance_each(state, ids)
        positions, longest = state.take(new + missing)
        found = self._call(self.model.each_log_probs, F.pad(ids, (0, missing)), positions, state.caches, longest)
        state.go_back(read + new)
        return found[:, :new]

    def _call(self, method: Any, ids: Tensor, positions: Tensor, caches: list[BlockCache], longest: int) -> Tensor:
        """The method by the code for these shapes and this length, which is made when it is first asked for."""
        reach = min(rounded(longest), self.context_length)
        key = (method.__func__, ids.shape, reach, *(type(cache.own) for cache in caches))
        if key not in self._code:
            self._code[key] = compiled(method)
        return self._code[key](ids, positions, caches, reach)  # type: ignore[no-any-return]


def compiled(method: Any) -> Any:
    """A model's method by compiled code that is only ever called with the kinds of arguments that it was made for, and does not
    check them: that would take longer than anything beside its products.

    The compiler keeps what it has made by the code that it was made of, so the method gets code of its own.
    """
    function = method.__func__
    own = FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    options: dict[str, Any] = {
        "guard_filter_fn": lambda guards: [False for _ in guards],
        "size_asserts": False,  # of every weight, at every call
        "alignment_asserts": False,
    }
    return torch.compile(MethodType(own, method.__self__), dynamic=False, options=options)


def is_new(state: TransformerState) -> bool:
    """Whether nothing was read."""
    return state.lengths is None and state.length == 0


def filled_up(new: int) -> int:
    """The next of the numbers of new tokens for which there is code: 1, 2, 4, 8, 16, 24, ..."""
    return 1 << (new - 1).bit_length() if new <= DRAFT else -(-new // DRAFT) * DRAFT


def rounded(length: int) -> int:
    """The next of the lengths for which there is code: 64, 128, 256, ..."""
    return max(LEAST_REACH, 1 << (length - 1).bit_length())
