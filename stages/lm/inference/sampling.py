"""Choosing the next token: small functions on log-probabilities of shape (batch, vocab), composed by `sample`.

    repetition penalty -> temperature -> top-k -> top-p -> draw

Temperature 0 takes the most probable token. Nothing needs normalised scores; the draw normalises what is left.
"""

import torch

from stages.lm.inference.settings import DecodingSettings


def penalise_repetition(scores: torch.Tensor, recent: torch.Tensor, penalty: float) -> torch.Tensor:
    """Make the tokens in `recent` (batch, window) less likely: CTRL (Keskar et al., 2019, section 4.1).

    A token counts once however often it occurs. Positive scores are divided by `penalty` and negative ones multiplied, so that
    both fall; a log-probability is never positive, and a penalised token's p becomes p ** penalty.
    """
    found = scores.gather(-1, recent)  # (batch, window)
    return scores.scatter(-1, recent, torch.where(found > 0, found / penalty, found * penalty))


def top_k(scores: torch.Tensor, k: int) -> torch.Tensor:
    """Keep exactly the k highest scores of each row, of equal ones those with the lower id; the others become -inf."""
    order = scores.sort(dim=-1, descending=True, stable=True).indices  # (batch, vocab)
    return scores.scatter(-1, order[:, k:], -torch.inf)


def top_p(scores: torch.Tensor, p: float) -> torch.Tensor:
    """Nucleus sampling (Holtzman et al., 2020): keep the smallest set of most probable tokens whose mass reaches p.

    The token that crosses p belongs to the set; the others become -inf.
    """
    ranked, order = scores.sort(dim=-1, descending=True, stable=True)  # (batch, vocab)
    mass = ranked.double().softmax(dim=-1)
    before = mass.cumsum(dim=-1) - mass  # the mass of all tokens that rank higher
    keep = before < p
    keep[:, 0] = True
    return scores.scatter(-1, order, ranked.masked_fill(~keep, -torch.inf))


def draw(scores: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
    """One token for each row with probabilities softmax(scores), each by the row's own generator: (batch,).

    By inversion of the cumulative distribution in float64; a token of probability 0 is never drawn.
    """
    cumulative = scores.double().softmax(dim=-1).cumsum(dim=-1)  # (batch, vocab)
    uniform = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])  # (batch, 1)
    return torch.searchsorted(cumulative / cumulative[:, -1:], uniform, right=True).squeeze(-1)


def sample(
    scores: torch.Tensor, recent: torch.Tensor, settings: DecodingSettings, generators: list[torch.Generator]
) -> torch.Tensor:
    """The next token of each row: scores (batch, vocab), recent tokens (batch, window), one generator a row -> (batch,)."""
    if settings.repetition_penalty != 1.0:
        scores = penalise_repetition(scores, recent, settings.repetition_penalty)
    if settings.temperature == 0.0:
        return scores.argmax(dim=-1)
    scores = scores / settings.temperature
    if settings.top_k is not None:
        scores = top_k(scores, min(settings.top_k, scores.shape[-1]))
    if settings.top_p is not None:
        scores = top_p(scores, settings.top_p)
    return draw(scores, generators)
