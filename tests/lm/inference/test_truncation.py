"""Every step of sampling against transformers' logits processors, and the frequencies of what is drawn."""

import math
from typing import Any

import pytest
import torch

from stages.lm.inference.penalties import penalise_frequency, penalise_repetition
from stages.lm.inference.sampling import sample, shaped
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.truncation import NUCLEUS, highest, highest_ids, min_p, top_k, top_p, typical

PLAIN: dict[str, Any] = {"temperature": 1.0, "top_p": None, "repetition_penalty": 1.0}


def logits(scale: float, vocab: int = 3000) -> torch.Tensor:
    return scale * torch.randn(4, vocab, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
@pytest.mark.parametrize(
    ("name", "argument", "ours"),
    [
        ("TopKLogitsWarper", 50, top_k),
        ("TopKLogitsWarper", 1, top_k),
        ("TopPLogitsWarper", 0.9, top_p),
        ("TopPLogitsWarper", 0.2, top_p),
        ("MinPLogitsWarper", 0.1, min_p),
        ("MinPLogitsWarper", 0.7, min_p),
        ("TypicalLogitsWarper", 0.9, typical),
        ("TypicalLogitsWarper", 0.2, typical),
    ],
)
def test_transformers_rule_out_the_same(name: str, argument: float, ours: Any, scale: float) -> None:
    from transformers import generation

    scores, ids = logits(scale), torch.empty((4, 0), dtype=torch.long)
    assert torch.equal(ours(scores, argument), getattr(generation, name)(argument)(ids, scores))


def test_transformers_penalise_the_same() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    scores, ids = logits(2.0), torch.randint(3000, (4, 30), generator=torch.Generator().manual_seed(1))
    assert torch.equal(penalise_repetition(scores, ids, 1.3), RepetitionPenaltyLogitsProcessor(1.3)(ids, scores))
    short = torch.cat((torch.full((4, 5), 3000), ids), dim=1)  # with places for which there are no tokens
    assert torch.equal(penalise_repetition(scores, short, 1.3), penalise_repetition(scores, ids, 1.3))


def test_all_settings_in_the_order_of_transformers() -> None:
    from transformers import LogitsProcessorList, generation

    scores, ids = logits(3.0).log_softmax(-1), torch.randint(3000, (4, 8), generator=torch.Generator().manual_seed(1))
    settings = DecodingSettings(
        temperature=0.7, top_k=200, top_p=0.95, min_p=0.01, typical_p=0.9, repetition_penalty=1.2, repetition_window=8
    )
    theirs = LogitsProcessorList(
        [
            generation.RepetitionPenaltyLogitsProcessor(1.2),
            generation.TemperatureLogitsWarper(0.7),
            generation.TopKLogitsWarper(200),
            generation.TopPLogitsWarper(0.95),
            generation.MinPLogitsWarper(0.01),
            generation.TypicalLogitsWarper(0.9),
        ]
    )
    expected = theirs(ids, scores).log_softmax(-1)
    found = shaped(scores, ids, settings)
    assert 1 < expected.isfinite().sum() < 4 * 200
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    rows, generator = 500, torch.Generator().manual_seed(0)
    drawn = sample(scores[:1].expand(rows, -1), ids[:1].expand(rows, -1), settings, [generator] * rows)
    assert expected[0, drawn].isfinite().all()


def test_frequency_and_presence_by_their_formula() -> None:
    counts = torch.tensor([[0.0, 1.0, 3.0]])
    assert penalise_frequency(torch.zeros(1, 3), counts, 0.5, 0.25).tolist() == [[0.0, -0.75, -1.25]]


def test_the_highest_with_many_equal_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    for values in (2, 5, 40, 3000):  # as numbers with few digits have them
        scores = torch.randint(values, (3, 1000), generator=generator).float()
        for count in (1, 7, 100, 990, 1000):
            ranked, order = scores.sort(dim=-1, descending=True, stable=True)
            found, ids = highest(scores, count)
            assert torch.equal(found, ranked[:, :count])
            assert torch.equal(ids, order[:, :count])
            assert torch.equal(highest_ids(scores, count), order[:, :count].sort().values)


def test_a_nucleus_beyond_what_is_sorted_first() -> None:
    flat = torch.zeros(1, 4 * NUCLEUS, dtype=torch.float64)
    assert top_p(flat, 0.5).isfinite().sum() == 2 * NUCLEUS
    assert top_p(flat, 0.1).isfinite().sum() == math.ceil(0.4 * NUCLEUS)


SHARES = [0.4, 0.3, 0.15, 0.1, 0.04, 0.01]
"""Entropy 1.417; their information 0.916, 1.204, 1.897, 2.303, 3.219, 4.605."""


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({}, SHARES),
        ({"temperature": 0.5}, [share**2 for share in SHARES]),
        ({"top_k": 2}, [0.4, 0.3, 0, 0, 0, 0]),
        ({"top_p": 0.8}, [0.4, 0.3, 0.15, 0, 0, 0]),
        ({"min_p": 0.3}, [0.4, 0.3, 0.15, 0, 0, 0]),  # those above 0.12
        ({"typical_p": 0.4}, [0, 0.3, 0.15, 0, 0, 0]),  # 0.213 and 0.480 away from the entropy; the most probable one is 0.501
        ({"repetition_penalty": 2.0}, [0.4**2, 0.3, 0.15**2, 0.1, 0.04, 0.01]),
        ({"presence_penalty": 1.0}, [0.4 / math.e, 0.3, 0.15 / math.e, 0.1, 0.04, 0.01]),
        ({"frequency_penalty": 0.5}, [0.4 / math.e, 0.3, 0.15 / math.e**0.5, 0.1, 0.04, 0.01]),
        ({"frequency_penalty": -0.5, "top_k": 3}, [0.4 * math.e, 0.3, 0.15 * math.e**0.5, 0, 0, 0]),
        ({"top_k": 4, "top_p": 0.9, "min_p": 0.55, "temperature": 2.0}, [0.4**0.5, 0.3**0.5, 0.15**0.5, 0, 0, 0]),
    ],
)
def test_tokens_are_drawn_by_their_probabilities(settings: dict[str, Any], weights: list[float]) -> None:
    """Token 0 was written twice and 2 once. Pearson's statistic, and 20.5 is exceeded with p = 0.001 at 5 degrees of freedom."""
    draws, generator = 20_000, torch.Generator().manual_seed(11)
    scores = torch.tensor([SHARES]).log().expand(draws, -1)
    recent, counts = torch.tensor([[0, 2, 0]]).expand(draws, -1), torch.tensor([[2.0, 0, 1, 0, 0, 0]]).expand(draws, -1)
    chosen = DecodingSettings(**PLAIN | settings)
    tokens = sample(scores, recent, chosen, [generator] * draws, counts)
    found, expected = torch.bincount(tokens, minlength=6).double(), torch.tensor(weights, dtype=torch.float64)
    expected = draws * expected / expected.sum()
    assert found[expected == 0].sum() == 0
    possible = expected > 0
    assert ((found - expected).square() / expected)[possible].sum() < 20.5
    shares = shaped(scores[:1], recent[:1], chosen, counts[:1])[0].exp()
    torch.testing.assert_close(shares * draws, expected, rtol=1e-5, atol=1e-5)
