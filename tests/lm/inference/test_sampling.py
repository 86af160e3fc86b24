"""Sampling: hand-worked examples for each step, and drawn frequencies against the probabilities."""

import math

import pytest
import torch

from stages.lm.inference.penalties import penalise_repetition
from stages.lm.inference.sampling import draw, sample
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.truncation import top_k, top_p

NONE_RECENT = torch.empty((1, 0), dtype=torch.long)


def log(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities]).log()


def kept(scores: torch.Tensor) -> list[int]:
    return scores[0].isfinite().nonzero().squeeze(-1).tolist()


def test_the_penalty_divides_positive_scores_and_multiplies_negative_ones() -> None:
    scores = torch.tensor([[2.0, -2.0, 3.0, -3.0]])
    assert penalise_repetition(scores, torch.tensor([[0, 1]]), 2.0).tolist() == [[1.0, -4.0, 3.0, -3.0]]


def test_the_penalty_falls_on_a_token_once_however_often_it_occurs() -> None:
    scores = torch.tensor([[-1.0, -1.0], [-1.0, -1.0]])
    assert penalise_repetition(scores, torch.tensor([[1, 1, 1], [0, 0, 1]]), 1.5).tolist() == [[-1.0, -1.5], [-1.5, -1.5]]


def test_top_k_keeps_exactly_k_and_prefers_lower_ids_among_equals() -> None:
    assert kept(top_k(log(0.1, 0.4, 0.2, 0.3), 2)) == [1, 3]
    assert kept(top_k(log(0.25, 0.25, 0.25, 0.25), 3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.3, [1]), (0.49, [1]), (0.51, [1, 3]), (0.8, [1, 3]), (0.82, [1, 2, 3]), (0.96, [0, 1, 2, 3]), (1.0, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(p: float, expected: list[int]) -> None:
    assert kept(top_p(log(0.0625, 0.5, 0.125, 0.3125), p)) == expected


def test_top_p_looks_at_mass_after_normalising_what_earlier_steps_left() -> None:
    # 0.5 and 0.3 are left of top-k, 0.625 and 0.375 of the mass: the first alone reaches 0.6
    assert kept(top_p(top_k(log(0.5, 0.3, 0.2), 2), 0.6)) == [0]


def frequencies(scores: torch.Tensor, settings: DecodingSettings, draws: int = 20_000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    rows = scores.expand(draws, -1)
    recent = NONE_RECENT.expand(draws, 0)
    tokens = sample(rows, recent, settings, [generator] * draws)
    return torch.bincount(tokens, minlength=scores.shape[-1])


def chi_square(counts: torch.Tensor, expected: list[float]) -> float:
    """Pearson's statistic over the tokens of positive probability; the others must not occur at all."""
    total = int(counts.sum())
    assert all(count == 0 for count, share in zip(counts.tolist(), expected, strict=True) if share == 0)
    return sum(
        (count - total * share) ** 2 / (total * share) for count, share in zip(counts.tolist(), expected, strict=True) if share
    )


PLAIN = DecodingSettings(temperature=1.0, top_p=None, repetition_penalty=1.0)


def test_draws_follow_the_probabilities() -> None:
    assert chi_square(frequencies(log(0.5, 0.0, 0.2, 0.3), PLAIN), [0.5, 0.0, 0.2, 0.3]) < 13.8  # 2 degrees of freedom, p = 0.001


def test_temperature_sharpens_before_the_nucleus_is_cut() -> None:
    # at temperature 0.5 the probabilities are squared: 25/38, 9/38, 4/38; the first two reach 0.8
    settings = PLAIN.model_copy(update={"temperature": 0.5, "top_p": 0.8})
    assert chi_square(frequencies(log(0.5, 0.3, 0.2), settings), [25 / 34, 9 / 34, 0.0]) < 10.8  # 1 degree of freedom


def test_a_penalised_token_is_drawn_with_the_power_of_its_probability() -> None:
    settings = PLAIN.model_copy(update={"repetition_penalty": 2.0})
    draws = 20_000
    tokens = sample(
        log(0.5, 0.5).expand(draws, -1),
        torch.zeros((draws, 1), dtype=torch.long),
        settings,
        [torch.Generator().manual_seed(4)] * draws,
    )
    assert chi_square(torch.bincount(tokens, minlength=2), [1 / 3, 2 / 3]) < 10.8


def test_temperature_zero_takes_the_most_probable_after_the_penalty() -> None:
    greedy = DecodingSettings(temperature=0.0, repetition_penalty=2.0)
    scores = log(0.5, 0.3, 0.2)
    assert sample(scores, NONE_RECENT, greedy, []).tolist() == [0]
    assert sample(scores, torch.tensor([[0]]), greedy, []).tolist() == [1]


def test_an_impossible_token_is_never_drawn_at_the_ends_of_the_unit_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = log(0.0, 0.1, 0.9, 0.0)
    for uniform, expected in ((0.0, 1), (math.nextafter(1.0, 0.0), 2)):
        monkeypatch.setattr(torch, "rand", lambda *_, value=uniform, **__: torch.tensor([value], dtype=torch.float64))
        assert draw(scores, [torch.Generator()]).tolist() == [expected]
