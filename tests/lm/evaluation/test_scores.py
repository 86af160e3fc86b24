"""Scores worked by hand."""

import math

import numpy as np
import pytest

from stages.lm.evaluation.scores import Documents, difference, scores
from stages.lm.evaluation.settings import EvaluationSettings

SETTINGS = EvaluationSettings(bootstrap_samples=200)


def documents(source_bits: list[float] | None = None) -> Documents:
    # 12 and 20 bits, 4 and 4 tokens, 6 and 10 bytes: 2 bits per byte, 4 bits per token
    return Documents(
        nats=np.array([12.0, 20.0]) * math.log(2),
        tokens=np.array([4, 4]),
        bytes=np.array([6, 10]),
        source_bits=None if source_bits is None else np.array(source_bits),
    )


def test_bits_per_byte_and_perplexity_of_two_documents() -> None:
    found = scores(documents(), None, SETTINGS)
    assert found["bits_per_byte"]["value"] == pytest.approx(2.0)
    assert found["perplexity"]["value"] == pytest.approx(16.0)
    assert found["nats_per_token"] == pytest.approx(4.0 * math.log(2))
    assert (found["documents"], found["tokens"], found["bytes"]) == (2, 8, 16)
    assert found["source"] is None


def test_what_unknown_tokens_hide_is_paid_for() -> None:
    """Three letters out of 257 in the second document: 3 log2 257 bits more, and perplexity as before."""
    lossy = documents()._replace(spelled=np.array([0, 3]))
    found = scores(lossy, None, SETTINGS)
    assert found["bits_per_byte"]["value"] == pytest.approx((32 + 3 * math.log2(257)) / 16)
    assert found["spelled_bits_per_byte"] == pytest.approx(3 * math.log2(257) / 16)
    assert found["bits_per_byte"]["high"] == pytest.approx((20 + 3 * math.log2(257)) / 10)
    assert found["perplexity"]["value"] == pytest.approx(16.0)
    assert found["nats_per_token"] == pytest.approx(4.0 * math.log(2))
    assert scores(documents(), None, SETTINGS)["spelled_bits_per_byte"] is None


def test_intervals_span_what_resampling_two_documents_can_give() -> None:
    found = scores(documents(), None, SETTINGS)
    # draws are {first, first}, {both}, {second, second}: 12/4, 16/4... bits per token
    assert (found["perplexity"]["low"], found["perplexity"]["high"]) == pytest.approx((8.0, 32.0))
    # both documents cost 2 bits per byte, so no draw can change that
    assert (found["bits_per_byte"]["low"], found["bits_per_byte"]["high"]) == pytest.approx((2.0, 2.0))


def test_the_excess_is_over_the_surprisal_of_the_same_documents() -> None:
    source = scores(documents([10.0, 15.0]), 1.5, SETTINGS)["source"]
    assert source["bits_per_byte"] == 1.5
    assert source["sample_bits_per_byte"] == pytest.approx(25 / 16)
    assert source["sample_nats_per_token"] == pytest.approx(25 / 8 * math.log(2))
    assert source["excess_percent"]["value"] == pytest.approx(100 * (32 / 25 - 1))
    assert source["excess_bits_per_byte"]["value"] == pytest.approx(7 / 16)
    # single documents: 12/10 and 20/15
    assert source["excess_percent"]["low"] == pytest.approx(20.0)
    assert source["excess_percent"]["high"] == pytest.approx(100 / 3)


def test_a_model_that_is_the_source_has_no_excess_in_any_resample() -> None:
    source = scores(documents([12.0, 20.0]), 2.0, SETTINGS)["source"]
    assert source["excess_percent"] == pytest.approx({"value": 0.0, "low": 0.0, "high": 0.0}, abs=1e-9)


def test_the_paired_difference_is_sharper_than_the_models_apart() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(50, 500, size=400)
    hardness = generator.gamma(20.0, 0.05, size=400)  # documents differ much more than the models do
    better = lengths * hardness
    worse = better * 1.01
    found = difference(worse, better, lengths, SETTINGS)
    assert found["value"] == pytest.approx(0.01 * better.sum() / math.log(2) / lengths.sum())
    assert 0 < found["low"] < found["value"] < found["high"]
    assert found["p"] == pytest.approx(2 / 201)
    apart = scores(Documents(worse, lengths, lengths, None), None, SETTINGS)["bits_per_byte"]
    assert found["high"] - found["low"] < (apart["high"] - apart["low"]) / 10
