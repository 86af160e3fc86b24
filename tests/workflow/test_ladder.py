"""The ladders of config/: every family of language models, one text, one tokenizer, one number of training FLOPs."""

from pathlib import Path

import pytest

from stages.lm.accounting.estimate import tokens_per_step
from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.parameters import parameters
from stages.lm.training.settings import TrainSettings
from workflow.config import Config
from workflow.reading import load

LANGUAGE_MODELS = {"ngram", "rnn", "lstm", "gru", "transformer"}
LADDERS = ["config/ladder.yaml", "config/ladder-text.yaml"]


@pytest.fixture(params=LADDERS)
def ladder(request: pytest.FixtureRequest, root: Path) -> Config:
    return load(root / request.param)


def trained(ladder: Config) -> dict[str, TrainSettings]:
    """The rungs that learn by gradient descent."""
    return {
        name: TrainSettings(model=experiment.model, training=experiment.training)
        for name, experiment in ladder.experiments.items()
        if experiment.model.trained_by == "gradient"
    }


def test_every_family_is_on_the_ladder_once_or_more(ladder: Config) -> None:
    assert {experiment.model.family for experiment in ladder.experiments.values()} == LANGUAGE_MODELS
    orders = [found.model.order for found in ladder.experiments.values() if found.model.family == "ngram"]
    assert orders == [2, 3, 5]


def test_rungs_share_text_and_tokenizer(ladder: Config) -> None:
    assert len(ladder.corpora) == len(ladder.tokenizers) == 1
    assert {experiment.corpus for experiment in ladder.experiments.values()} == {None}


def test_gradient_descent_gets_the_same_operations_everywhere(ladder: Config) -> None:
    (tokenizer,) = ladder.tokenizers.values()
    size = tokenizer.own_settings()["vocab_size"]
    flops = {
        name: training_flops(forward_flops_per_token(settings.model, size), settings.training.steps * tokens_per_step(settings))
        for name, settings in trained(ladder).items()
    }
    assert max(flops.values()) < 1.02 * min(flops.values()), flops
    assert all(total == pytest.approx(2e13, rel=0.02) for total in flops.values()), flops


def test_rungs_have_about_as_many_parameters(ladder: Config) -> None:
    (tokenizer,) = ladder.tokenizers.values()
    size = tokenizer.own_settings()["vocab_size"]
    found = [parameters(settings.model, size, 0)["total"] for settings in trained(ladder).values()]
    assert max(found) < 1.5 * min(found)


def test_a_step_is_as_many_tokens_on_every_rung(ladder: Config) -> None:
    assert {tokens_per_step(settings) for settings in trained(ladder).values()} == {4096}
