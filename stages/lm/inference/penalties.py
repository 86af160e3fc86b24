"""Penalties on what has been written: functions on log-probabilities (or logits) of shape (batch, vocab)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def penalise_repetition(scores: Tensor, recent: Tensor, penalty: float) -> Tensor:
    """Make the tokens in `recent` (batch, window) less likely: CTRL (Keskar et al., 2019, section 4.1).

    A token counts once however often it occurs; the id `vocab` stands for none, where a text is shorter than the window. Positive
    scores are divided by `penalty` and negative ones multiplied, so that both fall; a log-probability is never positive, and a
    penalised token's p becomes p ** penalty.
    """
    room = F.pad(scores, (0, 1))  # (batch, vocab + 1): a place for those that are none
    found = room.gather(-1, recent)  # (batch, window)
    return room.scatter(-1, recent, torch.where(found > 0, found / penalty, found * penalty))[:, :-1]


def penalise_frequency(scores: Tensor, counts: Tensor, presence: float, frequency: float) -> Tensor:
    """Take `presence` from tokens that were written at all and `frequency` for each time: scores and counts (batch, vocab).

    The two penalties of OpenAI's API: mu[j] - c[j] * frequency - (c[j] > 0) * presence.
    """
    return scores - presence * (counts > 0) - frequency * counts
