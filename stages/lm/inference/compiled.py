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

from stages.lm.models.transformer import TransformerLM, TransformerState

LEAST_REACH = 64
DRAFT = 8
"""Of more than four new tokens so many are read at once, or a multiple of it, of fewer 1, 2 or 4; in place of those that are
missing stands any token."""
MOST_CODE = 64
"""For so many lengths and numbers of rows torch is to compile before it gives up; by itself it does after eight."""


class CompiledLM:
    """The language model, see `models.interface.LanguageModel`; it only decodes."""

    keeps_all = True

    def __init__(self, model: TransformerLM) -> None:
        self.model, self.vocab_size, self.context_length = model, model.vocab_size, model.context_length
        self._next, self._each = compiled(model.next_log_probs), compiled(model.each_log_probs)
        self._compiling = torch._dynamo.config.patch(recompile_limit=MOST_CODE)  # kept: to make it takes longer than to enter it

    def start(self, batch: int, can_go_back: bool = False) -> TransformerState:
        return self.model.start(batch, can_go_back)

    def advance(self, state: TransformerState, ids: Tensor) -> Tensor:
        """As the model's; rows do not slide, and the beginning of a text, if only of one token, is read by the model itself."""
        if ids.shape[1] > 1 or is_new(state):
            return self.model.advance(state, ids)
        positions, longest = state.take(1)
        with self._compiling:
            return self._next(ids, positions, state.caches, min(rounded(longest), self.context_length))  # type: ignore[no-any-return]

    def advance_each(self, state: TransformerState, ids: Tensor) -> Tensor:
        """As the model's, which itself reads the beginning of a text, and what has no room to be filled up."""
        new, read = ids.shape[1], state.longest if state.lengths is not None else state.length
        missing = filled_up(new) - new
        if is_new(state) or read + new + missing > self.context_length:
            return self.model.advance_each(state, ids)
        positions, longest = state.take(new + missing)
        with self._compiling:
            reach = min(rounded(longest), self.context_length)
            found: Tensor = self._each(F.pad(ids, (0, missing)), positions, state.caches, reach)
        state.go_back(read + new)
        return found[:, :new]


def compiled(method: Any) -> Any:
    """A model's method by compiled code that does not look whether the model has changed, as none does that decodes: that would
    take longer than anything beside its products.

    Such code is for this model alone, so the method gets code of its own, by which the compiler keeps what it has made.
    """
    function = method.__func__
    own = FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    options: dict[str, Any] = {
        "guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe,
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
