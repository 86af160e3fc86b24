"""The loss of a model on every document of a split.

Each document is predicted on its own: the context begins with the end-of-text token, which stands for a boundary between
documents, and every token after it is predicted, the closing end-of-text token included. So the losses of a document add up
to the length of a code for it that says where it ends, and a sum over documents is what those documents cost.
"""

import sys
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stages.lm.errors import UserError
from stages.lm.evaluation.windows import Window, batches, windows
from stages.lm.inference.loading import Trained
from stages.lm.progress import progress
from stages.lm.tokens import TokenArray

LOGITS_PER_BATCH = {"cpu": 2**24, "cuda": 2**28}


class PositionLosses(NamedTuple):
    """What is known of each document by how much was read before a token, in octaves; every array is (documents, octaves)."""

    nats: NDArray[np.float64]
    """Minus the logarithms of the probabilities of the tokens in an octave, added up."""
    tokens: NDArray[np.int64]


def octave(read: NDArray[np.int64]) -> NDArray[np.int64]:
    """The octave of a prediction from so many tokens, the boundary among them: 0 for 1, 1 for 2, 2 for 3 and 4, 3 for 5 to 8."""
    return np.ceil(np.log2(read)).astype(np.int64)


def document_losses(trained: Trained, tokens: TokenArray, batch_tokens: int | None = None) -> NDArray[np.float64]:
    """-ln p of each document, in nats, in the order of `tokens`: float64 (documents,). See `position_losses`."""
    return np.asarray(position_losses(trained, tokens, batch_tokens).nats.sum(axis=1))


def position_losses(
    trained: Trained, tokens: TokenArray, batch_tokens: int | None = None, stride: int | None = None
) -> PositionLosses:
    """The losses of each document, in the order of `tokens`, by how many tokens of its window the model had read.

    `batch_tokens` bounds the ids that go through the model at once (by default so many that their logits fill 64 MiB of memory
    or 1 GiB of a GPU's); the result does not depend on it beyond rounding. `stride` is that of `windows`. Raises UserError where
    there is no document, and for a stride that would leave tokens out.
    """
    model, device = trained.model, trained.device
    if len(tokens) == 0:
        raise UserError("the split holds no documents to evaluate on; choose another with `split`, or give the corpus more")
    if stride and model.context_length is not None and stride > model.context_length:
        raise UserError(f"stride: is {stride:,}, but the model sees {model.context_length:,} tokens; choose no more than that")
    batch_tokens = batch_tokens or max(1, LOGITS_PER_BATCH[device.type] // model.vocab_size)
    lengths = np.diff(tokens.offsets)
    longest = min(int(lengths.max()), model.context_length or sys.maxsize)
    octaves = octave(np.arange(1, longest + 1))
    nats = np.zeros((len(tokens), octaves[-1] + 1))
    counts = np.zeros(nats.shape, np.int64)
    pieces = windows(lengths.tolist(), model.context_length, stride)
    with torch.inference_mode(), progress("evaluate", int(lengths.sum()), " tokens") as bar:
        for batch in batches(pieces, batch_tokens):
            log_probs = model.token_log_probs(_padded(tokens, batch, trained.end_of_text).to(device))  # (batch, length - 1)
            for window, row in zip(batch, log_probs.double().cpu().numpy(), strict=True):
                counted = slice(window.first - window.start - 1, window.length - 1)  # prediction i is made from i + 1 tokens
                nats[window.document] -= np.bincount(octaves[counted], row[counted], nats.shape[1])
                counts[window.document] += np.bincount(octaves[counted], minlength=nats.shape[1])
                bar.update(counted.stop - counted.start)
    return PositionLosses(nats, counts)


def _padded(tokens: TokenArray, batch: list[Window], end_of_text: int) -> torch.Tensor:
    """The ids of a batch of windows, padded at the end, where a causal model's earlier predictions cannot see it."""
    ids = np.full((len(batch), max(window.length for window in batch)), end_of_text, dtype=np.int64)
    for row, window in zip(ids, batch, strict=True):
        begin = max(window.start - 1, 0)
        row[int(window.start == 0) : window.length] = tokens.document(window.document)[begin : window.stop - 1]
    return torch.from_numpy(ids)  # (batch, length)
