"""Positions: rotary (the layout, the angles, and what they are for), sinusoidal, and those within documents."""

import math

import torch

from stages.lm.models.positions import RotaryEmbedding, SinusoidalPositions, positions_in_segments


def test_pairs_are_interleaved_and_exponents_start_at_zero() -> None:
    rope = RotaryEmbedding(theta=100.0, d_k=4, max_seq_len=8)
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    turned = rope(x, torch.tensor([3]))[0]
    slow = 3 / 100 ** (2 / 4)  # the second pair turns theta^(2 / d) times slower
    expected = [math.cos(3), math.sin(3), math.cos(slow), math.sin(slow)]
    torch.testing.assert_close(turned, torch.tensor(expected))


def test_scores_depend_on_relative_position_alone() -> None:
    rope = RotaryEmbedding(10000.0, 8, 64).double()
    query, key = torch.randn(1, 8, dtype=torch.float64), torch.randn(1, 8, dtype=torch.float64)

    def score(m: int, n: int) -> float:
        return float(rope(query, torch.tensor([m])) @ rope(key, torch.tensor([n])).T)

    assert math.isclose(score(5, 2), score(43, 40), rel_tol=1e-5)
    assert not math.isclose(score(5, 2), score(5, 3), rel_tol=1e-3)


def test_positions_may_be_shared_or_given_for_each_sequence() -> None:
    rope = RotaryEmbedding(10000.0, 6, 16)
    x = torch.randn(2, 3, 5, 6)  # (batch, heads, sequence, d_k)
    shared = rope(x, torch.arange(5))
    torch.testing.assert_close(rope(x, torch.arange(5).expand(2, 1, 5)), shared)
    own = rope(x, torch.stack((torch.arange(5), torch.arange(5) + 4)).unsqueeze(1))
    torch.testing.assert_close(own[0], shared[0])
    torch.testing.assert_close(own[1], rope(x[1], torch.arange(4, 9)))


def test_buffers_are_derived_and_not_saved() -> None:
    rope = RotaryEmbedding(10000.0, 4, 8)
    assert not rope.state_dict()
    assert {name for name, _ in rope.named_buffers()} == {"cos", "sin"}


def test_sinusoids_by_hand() -> None:
    table = SinusoidalPositions(10, 4)(torch.tensor([0, 7]))
    slow = 7 / 10000 ** (2 / 4)
    expected = [[0.0, 1.0, 0.0, 1.0], [math.sin(7), math.cos(7), math.sin(slow), math.cos(slow)]]
    torch.testing.assert_close(table, torch.tensor(expected))
    assert SinusoidalPositions(3, 5).table.shape == (3, 5)


def test_positions_start_anew_in_every_document() -> None:
    documents = torch.tensor([[4, 4, 4, 5, 5, 9], [1, 2, 2, 1, 1, 1]])
    assert positions_in_segments(documents).tolist() == [[0, 1, 2, 0, 1, 0], [0, 0, 1, 0, 1, 2]]
