"""Estimates of variants: what their code does, and what is said where it cannot be run without numbers."""

import logging
from pathlib import Path

import pytest

from stages.lm.accounting import huggingface
from stages.lm.accounting.calibration import largest_matrix
from stages.lm.accounting.flops import forward_flops_per_token
from stages.lm.accounting.memory import training_memory
from stages.lm.accounting.parameters import parameters
from stages.lm.training.settings import TrainingSettings
from tests.lm.models.huggingface.variants import GATED, REZERO, VOCAB, built, changed, settings

TRAINING = TrainingSettings(batch_size=2, device="cpu", threads=1)


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": True}])
def test_parameters_by_component(changes: dict[str, object]) -> None:
    """Of the gated model by hand: 4 matrices of 16 x 16, a gate with biases, 3 of 16 x 24, two norms in each of two blocks."""
    found = parameters(settings(GATED, **changes), VOCAB, 0)
    inside = 2 * (4 * 16 * 16 + 17 * 16 + 3 * 16 * 24 + 2 * 16) + 16
    assert found == {"embedding": 0 if changes else VOCAB * 16, "inside": inside, "head": VOCAB * 16, "total": built(
        GATED, **changes).num_parameters()}  # fmt: skip


def test_llama_can_be_run_without_numbers() -> None:
    """Of every prediction: matrices, and scores and sums over the 17 tokens of a window of 16, in 17 / 16 of the positions."""
    matrices, heads = 2 * (4 * 16 * 16 + 3 * 16 * 24), 2 * 2 * 17 * 16
    found = forward_flops_per_token(settings(REZERO), VOCAB)
    assert found["inside"] == pytest.approx((2 * matrices + 2 * heads) * 17 / 16, abs=1)
    assert found["head"] == 2 * VOCAB * 16 * 17 // 16
    assert largest_matrix(settings(REZERO), VOCAB) == (24, 16)


def test_code_that_asks_for_numbers_has_a_rougher_estimate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = changed(tmp_path, ("logits = self.lm_head(", "input_ids.unique(); logits = self.lm_head("))
    described = settings(file)
    counts = parameters(described, VOCAB, 0)
    with caplog.at_level(logging.WARNING):
        flops, memory = forward_flops_per_token(described, VOCAB), training_memory(described, TRAINING, VOCAB)
    assert flops["inside"] == round(2 * counts["inside"] * 17 / 16)
    assert memory["total"] == 4 * 4 * counts["total"] == sum(huggingface.least_memory(described, VOCAB).values())
    assert "its products cannot be counted" in caplog.text
    assert "its memory cannot be found" in caplog.text
