"""Learning curves on one scale."""

import json
import math

import pytest

from stages.lm.reporting.comparison import compare
from stages.lm.reporting.curves import Curves, learning_curves
from stages.lm.reporting.experiments import resolve
from stages.lm.reporting.settings import ReportSettings
from tests.lm.reporting.workshop import Workshop


def curves(workshop: Workshop, experiments: dict[str, dict[str, str]]) -> Curves | None:
    settings = ReportSettings.model_validate({"experiments": experiments})
    found = resolve(settings, workshop.made, workshop.folder)
    return learning_curves(found, compare(found))


def test_one_tokenizer_keeps_nats_per_token_and_converts_the_floor(workshop: Workshop) -> None:
    experiments = workshop.standard()
    found = curves(workshop, experiments)
    assert found is not None
    assert found.unit == "nats per token"
    gpt = found.curves[1]
    assert [step for step, _ in gpt.valid] == [50, 100, 150, 200]
    assert len(gpt.train) == 20
    split = workshop.made[experiments["gpt"]["tokenize"]].json("stats.json")["splits"]["valid"]
    assert found.floor == pytest.approx(0.8 * math.log(2) * split["bytes"] / split["tokens"])


def test_several_tokenizers_are_shown_in_bits_per_byte(workshop: Workshop) -> None:
    experiments = workshop.standard()
    corpus = experiments["gpt"]["corpus"]
    other = workshop.tokenizer(corpus, "small", merges=1)
    tokens = workshop.tokens(corpus, other, "toy-small")
    experiments["gpt-small"] = workshop.experiment("gpt-small", corpus, other, tokens, 0.95)
    found = curves(workshop, experiments)
    assert found is not None
    assert (found.unit, found.floor) == ("bits per byte", 0.8)
    train = workshop.made[experiments["gpt"]["train"]]
    loss = next(
        line["validation_loss"]
        for line in map(json.loads, train.file("metrics.jsonl").read_text().splitlines())
        if "validation_loss" in line
    )
    split = workshop.made[experiments["gpt"]["tokenize"]].json("stats.json")["splits"]["valid"]
    assert found.curves[1].valid[0] == (50, pytest.approx(loss * split["tokens"] / split["bytes"] / math.log(2)))


def test_points_by_time_are_those_whose_time_is_known(workshop: Workshop) -> None:
    found = curves(workshop, workshop.standard())
    assert found is not None
    gpt = found.curves[1]
    assert [time for time, _ in gpt.scaled(gpt.valid, "time")] == pytest.approx([15.0, 30.0, 45.0, 60.0])
    assert gpt.scaled(gpt.valid, "time", 60.0)[-1][0] == pytest.approx(1.0)
    del gpt.seconds[100]
    assert len(gpt.scaled(gpt.valid, "time")) == 3


def test_a_counted_model_is_a_level(workshop: Workshop) -> None:
    experiments = workshop.standard()
    found = curves(workshop, experiments)
    assert found is not None
    trigram = found.curves[0]
    assert (trigram.train, trigram.valid) == ([], [])
    assert trigram.level == workshop.made[experiments["trigram"]["evaluate"]].json("stats.json")["nats_per_token"]


def test_counted_models_alone_have_no_curves(workshop: Workshop) -> None:
    assert curves(workshop, {"trigram": workshop.standard()["trigram"]}) is None


def test_curves_in_bits_per_byte_hold_the_spelling_of_unknown_tokens(workshop: Workshop) -> None:
    experiments = workshop.standard()
    corpus = experiments["gpt"]["corpus"]
    words = workshop.tokens(corpus, workshop.tokenizer(corpus, "words", merges=1), "toy-words", spelled=500)
    experiments["words"] = experiments["gpt"] | {"tokenize": words}
    found = curves(workshop, experiments)
    assert found is not None
    by_name = {curve.name: curve for curve in found.curves}
    split = workshop.made[words].json("stats.json")["splits"]["valid"]
    for (_, lossless), (_, lossy) in zip(by_name["gpt"].valid, by_name["words"].valid, strict=True):
        assert lossy - lossless == pytest.approx(500 * math.log2(257) / split["bytes"])
