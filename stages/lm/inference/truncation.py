"""Ruling out tokens: functions on scores of shape (batch, n) that leave the others -inf.

A score is a logarithm of a probability up to a constant: what earlier steps left is looked at as if it were normalised.
"""

import math

import torch
from torch import Tensor

SPARE = 16
"""How many more scores are looked at for those that are equal to the last one wanted."""
NUCLEUS = 256
"""In so many most probable tokens the nucleus usually is, and then the others need not be sorted."""


def top_k(scores: Tensor, k: int) -> Tensor:
    """Keep exactly the k highest scores of each row, of equal ones those with the lower id."""
    found, ids = highest(scores, k)
    return torch.full_like(scores, -torch.inf).scatter(-1, ids, found)


def top_p(scores: Tensor, p: float) -> Tensor:
    """Nucleus sampling (Holtzman et al., 2020): keep the smallest set of most probable tokens whose mass reaches p.

    The token that crosses p belongs to the set.
    """
    return _most(scores, scores, p)


def typical(scores: Tensor, p: float) -> Tensor:
    """Locally typical sampling (Meister et al., 2023): as `top_p`, the tokens ranked by how near -ln p is to the entropy."""
    log_probs = scores.log_softmax(dim=-1)
    entropy = torch.special.entr(log_probs.exp()).sum(dim=-1, keepdim=True)
    return _most(scores, -(log_probs + entropy).abs(), p)


def min_p(scores: Tensor, p: float) -> Tensor:
    """Keep tokens that are at least p times as probable as the most probable one (Nguyen et al., 2025)."""
    return scores.masked_fill(scores < scores.amax(dim=-1, keepdim=True) + math.log(p), -torch.inf)


def highest_ids(scores: Tensor, count: int) -> Tensor:
    """The ids of the tokens that `highest` finds, rising: (batch, at most count)."""
    if count < scores.shape[-1]:
        near, ids = scores.topk(count + 1)
        if not (near[:, -1] == near[:, -2]).any():
            return ids[:, :-1].sort(dim=-1).values
    return highest(scores, count)[1].sort(dim=-1).values


def highest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest scores of each row and their ids, (batch, at most count) each, falling; of equal ones lower ids first.

    Only where more scores than some spare ones equal the last of them are all sorted.
    """
    if count + SPARE < scores.shape[-1]:
        near, ids = scores.topk(count + SPARE)  # equal ones in any order
        if not (near[:, -1] == near[:, count - 1]).any():
            ids, order = ids.sort(dim=-1)
            near, order = near.gather(-1, order).sort(dim=-1, descending=True, stable=True)
            return near[:, :count], ids.gather(-1, order)[:, :count]
    ranked, order = scores.sort(dim=-1, descending=True, stable=True)
    return ranked[:, :count], order[:, :count]


def _most(scores: Tensor, ranks: Tensor, p: float) -> Tensor:
    """Keep the smallest set of the highest `ranks` (batch, n) whose mass by `scores` reaches p, and at least one token."""
    total = scores.double().logsumexp(dim=-1, keepdim=True)
    for count in (NUCLEUS, scores.shape[-1]):
        _, ids = highest(ranks, count)
        ranked = scores.gather(-1, ids)
        mass = (ranked.double() - total).exp()
        before = mass.cumsum(dim=-1) - mass  # the mass of all tokens that rank higher
        if ids.shape[-1] == scores.shape[-1] or not (before[:, -1] + mass[:, -1] < p).any():
            break
    keep = before < p
    keep[:, 0] = True
    return torch.full_like(scores, -torch.inf).scatter(-1, ids, ranked.masked_fill(~keep, -torch.inf))
