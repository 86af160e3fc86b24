"""Losses by position, against a model whose loss is its position."""

import math

import numpy as np
import pytest

from stages.lm.errors import UserError
from stages.lm.evaluation.losses import octave, position_losses
from stages.lm.evaluation.positions import by_position
from stages.lm.evaluation.settings import EvaluationSettings
from tests.lm.evaluation.test_losses import BOUNDARY, Tokens, history_counter, trained, uniform

SETTINGS = EvaluationSettings(bootstrap_samples=100)


def test_octaves_double() -> None:
    read = np.array([1, 2, 3, 4, 5, 8, 9, 16, 17, 1024, 1025])
    assert octave(read).tolist() == [0, 1, 2, 2, 3, 3, 4, 4, 5, 10, 11]


def test_losses_are_put_where_they_were_made() -> None:
    """The model pays one nat for every token that it has read."""
    losses = position_losses(trained(history_counter(8)), Tokens([[1, 1, 1, 1, 1, BOUNDARY], [1, BOUNDARY]]))
    assert losses.nats.tolist() == [[1, 2, 3 + 4, 5 + 6], [1, 2, 0, 0]]
    assert losses.tokens.tolist() == [[1, 1, 2, 2], [1, 1, 0, 0]]


def test_a_smaller_stride_leaves_more_to_be_predicted_from() -> None:
    tokens = Tokens([[1] * 8 + [BOUNDARY]])
    found = [position_losses(trained(history_counter(4)), tokens, stride=stride).nats.sum() for stride in (4, 2, 1)]
    assert found == [1 + 2 + 3 + 4 + 1 + 2 + 3 + 4 + 4, 1 + 2 + 3 + 4 + 3 + 4 + 3 + 4 + 4, 1 + 2 + 3 + 6 * 4]


def test_a_stride_beyond_the_context_is_refused() -> None:
    with pytest.raises(UserError, match="stride: is 5, but the model sees 4 tokens"):
        position_losses(trained(history_counter(4)), Tokens([[1, BOUNDARY]]), stride=5)


def test_every_octave_has_its_mean_and_its_interval() -> None:
    losses = position_losses(trained(history_counter(8)), Tokens([[1] * 5 + [BOUNDARY], [1, BOUNDARY]] * 20))
    found = by_position(losses, SETTINGS)
    assert [(row["from"], row["to"], row["tokens"]) for row in found] == [(1, 1, 40), (2, 2, 40), (3, 4, 40), (5, 8, 40)]
    assert [row["nats_per_token"]["value"] for row in found] == [1, 2, 3.5, 5.5]
    assert found[2]["nats_per_token"] == {"value": 3.5, "low": 3.5, "high": 3.5}


def test_without_a_limit_positions_go_as_far_as_documents() -> None:
    found = by_position(position_losses(trained(uniform(4)), Tokens([[1] * 39 + [BOUNDARY]])), SETTINGS)
    assert sum(row["tokens"] for row in found) == 40
    assert found[-1]["to"] == 64
    assert all(row["nats_per_token"]["value"] == pytest.approx(math.log(4)) for row in found)
