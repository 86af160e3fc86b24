"""Calibration, worked by hand and against a source that knows its own probabilities."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from stages.lm.evaluation.calibration import Guesses, calibration, guess_documents, next_log_probs
from stages.lm.evaluation.settings import CalibrationSettings, EvaluationSettings
from stages.lm.models import registry
from stages.lm.models.settings import NgramSettings, TransformerSettings
from tests.lm.evaluation.test_losses import BOUNDARY, Tokens, trained

SETTINGS = EvaluationSettings(bootstrap_samples=100)


def stepwise(table: torch.Tensor) -> Any:
    """p(next | last) is table[last, next]; only asked for one token after the other."""

    def advance(_state: object, ids: torch.Tensor) -> torch.Tensor:
        return table[ids[:, -1]].log()

    return SimpleNamespace(vocab_size=len(table), context_length=None, start=lambda _: None, advance=advance)


def test_the_error_of_two_bins_by_hand() -> None:
    """Of 4 guesses at 0.75 one half is right, of 6 at 0.25 one third: 0.4 * 0.25 + 0.6 * 1/12."""
    guesses = Guesses(np.array([[6.0, 0.0, 4.0]]), np.array([[1.5, 0.0, 3.0]]), np.array([[2.0, 0.0, 2.0]]))
    found = calibration(guesses, SETTINGS)
    assert found["expected_calibration_error"] == pytest.approx(0.4 * 0.25 + 0.6 / 12)
    assert (found["tokens"], found["confidence"], found["accuracy"]) == (10, pytest.approx(0.45), pytest.approx(0.4))
    assert [(row["tokens"], row["confidence"], row["accuracy"]["value"]) for row in found["bins"]] == [
        (6, 0.25, pytest.approx(1 / 3)),
        (4, 0.75, 0.5),
    ]
    assert [(row["from"], row["to"]) for row in found["bins"]] == [(0, pytest.approx(1 / 3)), (pytest.approx(2 / 3), 1)]


def test_guesses_go_into_the_bin_of_their_confidence() -> None:
    table = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25], [0.2, 0.7, 0.1]])
    # after the boundary 1 is guessed (0.6, right), after 1 the boundary (0.5, wrong), after 2 the token 1 (0.7, wrong)
    guesses = guess_documents(trained(stepwise(table)), Tokens([[1, 2, BOUNDARY]]), CalibrationSettings(bins=4))
    assert guesses.tokens.tolist() == [[0, 1, 2, 0]]
    assert guesses.confidence[0] == pytest.approx([0, 0.5, 1.3, 0])
    assert guesses.right.tolist() == [[0, 0, 1, 0]]


def test_a_source_is_calibrated_and_one_that_is_too_sure_is_not() -> None:
    generator = np.random.default_rng(0)
    table = generator.dirichlet(np.full(6, 0.5), size=6)
    documents = []
    for _ in range(60):
        document = [BOUNDARY]
        for _ in range(200):
            document.append(int(generator.choice(6, p=table[document[-1]])))
        documents.append(document[1:])
    sharp = table**3 / (table**3).sum(axis=1, keepdims=True)
    errors = [
        calibration(guess_documents(trained(stepwise(torch.tensor(one))), Tokens(documents), CalibrationSettings()), SETTINGS)
        for one in (table, sharp)
    ]
    assert errors[0]["expected_calibration_error"] < 0.02
    assert errors[1]["expected_calibration_error"] == pytest.approx(errors[1]["confidence"] - errors[1]["accuracy"], abs=0.02)
    assert errors[1]["expected_calibration_error"] > 0.1


def test_networks_and_counts_give_the_distributions_that_their_losses_are_made_of() -> None:
    ids = torch.from_numpy(np.random.default_rng(1).integers(0, 12, size=(3, 17)))
    gpt = registry.build(TransformerSettings(family="transformer", layers=1, heads=2, d_model=16, context_length=16), 12, 0)
    trigram = registry.build(NgramSettings(family="ngram", order=3), 12, 0)
    trigram.fit(SimpleNamespace(ids=ids.flatten().numpy().astype(np.uint16)))
    for model in (gpt, trigram):
        with torch.inference_mode():
            found = next_log_probs(model, ids[:, :-1])
        assert torch.logsumexp(found, dim=-1).numpy() == pytest.approx(0, abs=1e-5)
        losses = found.gather(2, ids[:, 1:, None])[..., 0]
        torch.testing.assert_close(losses.double(), model.token_log_probs(ids).double(), rtol=1e-5, atol=1e-5)


def test_documents_are_spread_over_the_split_and_read_as_far_as_the_context_reaches() -> None:
    table = torch.full((3, 3), 1 / 3)
    model = stepwise(table)
    model.context_length = 4
    tokens = Tokens([[1] * length + [BOUNDARY] for length in (1, 2, 3, 9)])
    guesses = guess_documents(trained(model), tokens, CalibrationSettings(documents=2))
    assert guesses.tokens.sum(axis=1).tolist() == [2, 4]
