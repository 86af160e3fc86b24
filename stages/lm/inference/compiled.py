"""A transformer whose next token is computed by compiled code: one pass over the weights, with nothing between its operations.

Compiling takes seconds to a minute, once for every number of rows and for every length that caches are looked at up to, which
doubles from `LEAST_REACH` on: it pays where many tokens are written. Prompts are read by the model itself.
"""

import torch
from torch import Tensor

from stages.lm.models.transformer import TransformerLM, TransformerState

LEAST_REACH = 64
MOST_CODE = 64
"""For so many lengths and numbers of rows torch is to compile before it gives up; by itself it does after eight."""


class CompiledLM:
    """The language model, see `models.interface.LanguageModel`; it only decodes."""

    def __init__(self, model: TransformerLM) -> None:
        self.model, self.vocab_size, self.context_length = model, model.vocab_size, model.context_length
        self._next = torch.compile(model.next_log_probs, dynamic=False)
        self._compiling = torch._dynamo.config.patch(recompile_limit=MOST_CODE)  # kept: to make it takes longer than to enter it

    def start(self, batch: int) -> TransformerState:
        return self.model.start(batch)

    def advance(self, state: TransformerState, ids: Tensor) -> Tensor:
        """As the model's; rows do not slide, and the beginning of a text, if only of one token, is read by the model itself."""
        if ids.shape[1] > 1 or (state.lengths is None and state.length == 0):
            return self.model.advance(state, ids)
        positions, longest = state.take(1)
        with self._compiling:
            return self._next(ids, positions, state.caches, min(rounded(longest), self.context_length))


def rounded(length: int) -> int:
    """The next of the lengths for which there is code: 64, 128, 256, ..."""
    return max(LEAST_REACH, 1 << (length - 1).bit_length())
