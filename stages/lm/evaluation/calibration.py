"""Is a model as often right as it is sure? The expected calibration error and its reliability curve.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2. For every next token the model's guess is its most
probable token, and that token's probability is its confidence. Guesses are put into bins by their confidence,

    ECE = sum over bins b of  n_b / n * | accuracy of b - mean confidence of b |

where a calibrated model has zero. The reliability curve is the accuracy of each bin against its mean confidence.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.lm.evaluation.bootstrap import ratios
from stages.lm.evaluation.settings import CalibrationSettings, SplitSettings
from stages.lm.inference.loading import Trained
from stages.lm.models.interface import LanguageModel
from stages.lm.progress import progress
from stages.lm.tokens import TokenArray

LONGEST = 1024
"""Tokens of a document that are guessed at most: all their distributions are in memory at once."""
UNBOUNDED = 256
"""The same for models without a context, which are asked for one token after the other."""


class Guesses(NamedTuple):
    """What is known of each document by the bins of confidence; every array is (documents, bins)."""

    tokens: NDArray[np.float64]
    """Guesses in each bin."""
    confidence: NDArray[np.float64]
    """Their probabilities, added up."""
    right: NDArray[np.float64]
    """How many of them are the next token."""


def next_log_probs(model: LanguageModel, ids: Tensor) -> Tensor:
    """ln p(every token | ids[:, : t + 1]) for every t: (batch, length) -> (batch, length, vocab); length <= context_length.

    Networks give the logits of all positions in one pass; others are asked for one position after the other.
    """
    if isinstance(model, torch.nn.Module):
        return torch.log_softmax(model(ids).float(), dim=-1)
    state = model.start(len(ids))
    return torch.stack([model.advance(state, ids[:, t : t + 1]) for t in range(ids.shape[1])], dim=1)


def guess_documents(trained: Trained, tokens: TokenArray, settings: CalibrationSettings) -> Guesses:
    """Guess every token of so many documents, evenly spread over the split, from what stands before it."""
    chosen = np.linspace(0, len(tokens) - 1, min(settings.documents, len(tokens))).astype(np.int64)
    rows = []
    with torch.inference_mode(), progress("guess", len(chosen), " documents") as bar:
        for index in chosen:
            rows.append(_guess(trained, tokens.document(index), settings.bins))
            bar.update(1)
    return Guesses(*np.stack(rows, axis=1))


def _guess(trained: Trained, document: NDArray[Any], bins: int) -> NDArray[np.float64]:
    """The three rows of `Guesses` for one document (ids, the last one the end of text): (3, bins)."""
    length = min(len(document), trained.model.context_length or UNBOUNDED, LONGEST)
    ids = torch.from_numpy(np.concatenate(([trained.end_of_text], document[:length])).astype(np.int64)).to(trained.device)
    best = next_log_probs(trained.model, ids[None, :-1])[0].max(dim=-1)  # (length,)
    confidence, right = best.values.exp().cpu().numpy(), (best.indices.to(ids.device) == ids[1:]).cpu().numpy()
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return np.stack([np.bincount(bin_of, weights, bins) for weights in (np.ones(length), confidence, right)])


def calibration(guesses: Guesses, settings: SplitSettings) -> dict[str, Any]:
    """The part of an evaluation's stats.json: the error, and the reliability curve over the bins that hold anything."""
    bins = guesses.tokens.shape[1]
    filled = np.flatnonzero(guesses.tokens.sum(axis=0))
    tokens, right = guesses.tokens[:, filled], guesses.right[:, filled]
    accuracies = ratios(right, tokens, settings)
    counts, sure = tokens.sum(axis=0), guesses.confidence[:, filled].sum(axis=0)
    return {
        "documents": len(tokens),
        "tokens": int(counts.sum()),
        "expected_calibration_error": float(np.abs(right.sum(axis=0) - sure).sum() / counts.sum()),
        "confidence": float(sure.sum() / counts.sum()),
        "accuracy": float(right.sum() / counts.sum()),
        "bins": [
            {"from": index / bins, "to": (index + 1) / bins, "tokens": int(count), "confidence": float(total / count),
             "accuracy": accuracy}
            for index, count, total, accuracy in zip(filled.tolist(), counts, sure, accuracies, strict=True)
        ],
    }  # fmt: skip
