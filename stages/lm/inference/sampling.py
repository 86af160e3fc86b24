"""Choosing the next token from log-probabilities of shape (batch, vocab), by the settings:

    penalties -> temperature -> top-k -> top-p -> min-p -> typical -> draw

Temperature 0 takes the most probable token. Nothing needs normalised scores; the draw normalises what is left.
"""

import torch
from torch import Tensor

from stages.lm.inference.penalties import penalise_frequency, penalise_repetition
from stages.lm.inference.settings import SamplingSettings
from stages.lm.inference.truncation import highest_ids, min_p, top_k, top_p, typical


def sample(
    scores: Tensor, recent: Tensor, settings: SamplingSettings, generators: list[torch.Generator], counts: Tensor | None = None
) -> Tensor:
    """The next token of each row: (batch). One generator a row; the other arguments as in `penalised`."""
    scores = penalised(scores, recent, counts, settings)
    if settings.temperature == 0.0:
        return scores.argmax(dim=-1)
    scores = scores if settings.temperature == 1.0 else scores / settings.temperature
    if settings.top_k is None or settings.top_k >= scores.shape[-1]:
        return draw(truncated(scores, settings), generators)
    ids = highest_ids(scores, settings.top_k)  # (batch, k): what follows looks at these alone
    drawn = draw(truncated(scores.gather(-1, ids), settings), generators)
    return ids.gather(-1, drawn[:, None]).squeeze(-1)


def shaped(scores: Tensor, recent: Tensor, settings: SamplingSettings, counts: Tensor | None = None) -> Tensor:
    """ln p with which `sample` takes each token, in float64: (batch, vocab)."""
    scores = penalised(scores, recent, counts, settings).double()
    if settings.temperature == 0.0:
        return torch.full_like(scores, -torch.inf).scatter(-1, scores.argmax(dim=-1, keepdim=True), 0.0)
    scores = scores / settings.temperature
    if settings.top_k is not None:
        scores = top_k(scores, min(settings.top_k, scores.shape[-1]))
    return truncated(scores, settings).log_softmax(dim=-1)


def penalised(scores: Tensor, recent: Tensor, counts: Tensor | None, settings: SamplingSettings) -> Tensor:
    """Scores (batch, vocab) after recent tokens (batch, window), and counts (batch, vocab) of all that were written.

    The counts may be left out where the settings do not use them.
    """
    if settings.repetition_penalty != 1.0:
        scores = penalise_repetition(scores, recent, settings.repetition_penalty)
    if counts is not None and settings.counts_tokens:
        scores = penalise_frequency(scores, counts, settings.presence_penalty, settings.frequency_penalty)
    return scores


def truncated(scores: Tensor, settings: SamplingSettings) -> Tensor:
    """Scores (batch, n), those that the settings rule out -inf."""
    if settings.top_p is not None:
        scores = top_p(scores, settings.top_p)
    if settings.min_p is not None:
        scores = min_p(scores, settings.min_p)
    if settings.typical_p is not None:
        scores = typical(scores, settings.typical_p)
    return scores


def draw(scores: Tensor, generators: list[torch.Generator]) -> Tensor:
    """One place of each row with probabilities softmax(scores), each by the row's own generator: (batch,)."""
    return draw_by(scores.double().softmax(dim=-1), generators)


def draw_by(weights: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The same with probabilities in proportion to weights (batch, n) in float64.

    By inversion of the cumulative distribution; a place of weight 0 is never drawn.
    """
    cumulative = weights.cumsum(dim=-1)
    uniform = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])  # (batch, 1)
    return torch.searchsorted(cumulative / cumulative[:, -1:], uniform, right=True).squeeze(-1)
