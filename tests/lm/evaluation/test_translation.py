"""Translation scores: sacrebleu's own, intervals that hold what they should, and losses by the definition."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from sacrebleu import corpus_bleu, corpus_chrf

from stages.lm.evaluation.settings import EvaluationSettings
from stages.lm.evaluation.translation import reference_losses, statistics, translation_scores
from stages.lm.inference.loading import Trained
from stages.lm.inference.translating import by_length
from stages.lm.models import registry
from stages.lm.models.settings import ModelSettings
from stages.lm.settings import parse
from stages.lm.tokens import PairArray, TokenArray
from tests import sentences

SETTINGS = EvaluationSettings(bootstrap_samples=200)


def translations(good: int, count: int = 120) -> tuple[list[str], list[str]]:
    """References, and hypotheses of which one in `good` has a wrong word."""
    references = [sentences.pair(number)[1] for number in range(count)]
    hypotheses = [text.replace("the", "a", 1) if number % good == 0 else text for number, text in enumerate(references)]
    return hypotheses, references


def test_bleu_by_hand() -> None:
    """4 of 5 words, 2 of 4 pairs, 1 of 3 triples, and no longer ones: the smoothed fourth precision is 1/2 of 1/2."""
    hypotheses, references = ["the cat sat on mat"], ["the cat sat at mat"]
    expected = 100 * (4 / 5 * 2 / 4 * 1 / 3 * (1 / 2) / 2) ** 0.25
    assert translation_scores(hypotheses, references, SETTINGS)["bleu"].interval["value"] == pytest.approx(expected)


def test_scores_are_sacrebleus_and_lie_in_their_intervals() -> None:
    hypotheses, references = translations(good=2)
    found = translation_scores(hypotheses, references, SETTINGS)
    expected = {"bleu": corpus_bleu(hypotheses, [references]).score, "chrf": corpus_chrf(hypotheses, [references]).score}
    for name, measured in found.items():
        interval = measured.interval
        assert interval["value"] == expected[name]
        assert interval["low"] < interval["value"] < interval["high"]
        assert "version:" in measured.signature
    assert "case:mixed" in found["bleu"].signature
    assert "tok:13a" in found["bleu"].signature


def test_perfect_translations_score_a_hundred_without_doubt() -> None:
    _, references = translations(good=2)
    for measured in translation_scores(references, references, SETTINGS).values():
        assert measured.interval == pytest.approx({"value": 100.0, "low": 100.0, "high": 100.0})


def test_the_interval_is_that_of_sentences_drawn_anew() -> None:
    """Against a bootstrap that draws the sentences themselves and scores each corpus with sacrebleu."""
    hypotheses, references = translations(good=3, count=40)
    settings = EvaluationSettings(bootstrap_samples=100, seed=4)
    draws = np.random.default_rng(4).integers(40, size=(100, 40))
    scores = [corpus_bleu([hypotheses[i] for i in draw], [[references[i] for i in draw]]).score for draw in draws]
    expected = np.quantile(scores, [0.025, 0.975])
    found = translation_scores(hypotheses, references, settings)["bleu"].interval
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected))


def test_losses_of_references() -> None:
    values = {"family": "transformer-seq2seq", "layers": 1, "heads": 2, "d_model": 8, "context_length": 40}
    built: Any = registry.build(parse(ModelSettings, values, "model"), 12, seed=0)
    model = built.eval()
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 20, size=150)
    rows = [np.append(generator.integers(1, 12, size=length), 0) for length in lengths]
    side = TokenArray(np.concatenate(rows).astype(np.uint16), np.cumsum([0, *map(len, rows)]), lengths)
    pairs = PairArray(side, side)
    found = reference_losses(Trained(model, 0, torch.device("cpu"), ""), pairs)
    for index in (0, 77, 149):
        source, target = torch.tensor(rows[index])[None], torch.tensor([0, *rows[index]])[None]
        log_probs = torch.log_softmax(model(source, torch.tensor([source.shape[1]]), target[:, :-1])[0], dim=-1)
        expected = -sum(log_probs[place, target[0, place + 1]].item() for place in range(source.shape[1]))
        assert found[index] == pytest.approx(expected, rel=1e-5)
    assert sorted(np.concatenate(by_length(lengths))) == list(range(150))

    tokens = np.diff(side.offsets)
    stats = statistics(found, tokens, {}, SETTINGS)
    assert stats["nats_per_token"] == pytest.approx(found.sum() / tokens.sum())
    assert stats["perplexity"]["value"] == pytest.approx(math.exp(found.sum() / tokens.sum()))
    assert stats["tokens"] == tokens.sum() == lengths.sum() + 150
