"""Parameters and operations of every family in the registry, against built models and torch's own counter."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from stages.lm.accounting import vectors
from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.breakdown import breakdown
from stages.lm.accounting.flops import backward_flops_per_token, forward_flops_per_token, recomputed_flops_per_token
from stages.lm.accounting.parameters import parameters
from stages.lm.models import registry
from stages.lm.training.engines import recompute_blocks
from stages.lm.training.settings import TrainingSettings, TrainSettings
from tests.lm.accounting.families import FAMILIES, built, described, example

VOCAB = 29
LENGTH = 12


def test_every_family_is_here() -> None:
    assert set(FAMILIES) == set(registry.FAMILIES) - {"ngram"}


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters(family: str) -> None:
    assert parameters(described(family), VOCAB, 0)["total"] == registry.build(described(family), VOCAB, 0).num_parameters()


def test_bert_s_parameters_by_settings() -> None:
    for changes in ({"norm": "rms"}, {"norm_position": "none"}, {"position": "rope", "feed_forward": "swiglu", "bias": False}):
        settings = described("bert", **changes)
        assert parameters(settings, VOCAB, 0)["total"] == registry.build(settings, VOCAB, 0).num_parameters()


def training_flops(family: str, **changes: object) -> int:
    with FlopCounterMode(display=False) as counter:
        built(described(family, **changes), VOCAB).total_loss(*example(family)).backward()
    return int(counter.get_total_flops())


def tokens(family: str) -> int:
    """Tokens of the example: those that count, in contexts that are as wide as they can be."""
    return 2 * vectors.counted(described(family)) if family in ("skipgram", "cbow") else 2 * LENGTH


def missing(family: str) -> int:
    """Gradients that go nowhere: to first states, which are zeros."""
    d, gates = 16, {"rnn": 1, "lstm": 4, "gru": 3}.get(family, 0)
    if family == "rnn-seq2seq":
        return 2 * 2 * 2 * 3 * d * d  # two rows, two directions
    return 2 * 2 * 2 * gates * d * d  # two rows, two layers


@pytest.mark.parametrize("family", FAMILIES)
def test_operations_forward_and_backward(family: str) -> None:
    forward = forward_flops_per_token(described(family), VOCAB, LENGTH)
    backward = backward_flops_per_token(forward)
    assert training_flops(family) == pytest.approx(
        tokens(family) * (forward["total"] + backward["total"]) - missing(family), abs=3 * tokens(family) * len(forward)
    )  # rounded by component


@pytest.mark.parametrize(
    "changes", [{"attention": "sliding", "window": 3}, {"attention": "strided", "stride": 4}, {"kv_heads": 1}]
)
def test_bert_s_attention(changes: dict[str, object]) -> None:
    forward = forward_flops_per_token(described("bert", **changes), VOCAB, LENGTH)
    assert training_flops("bert", **changes) == 3 * 2 * LENGTH * forward["total"]


@pytest.mark.parametrize("family", ["transformer", "bert", "transformer-seq2seq"])
def test_checkpointing_computes_the_blocks_again(family: str) -> None:
    settings = described(family)
    model = built(settings, VOCAB)
    recompute_blocks(model)
    with FlopCounterMode(display=False) as counter:
        model.total_loss(*example(family)).backward()
    forward = forward_flops_per_token(settings, VOCAB, LENGTH)
    again = recomputed_flops_per_token(settings, TrainingSettings(activation_checkpointing=True), forward)
    assert counter.get_total_flops() - training_flops(family) == 2 * LENGTH * again["total"]
    assert recomputed_flops_per_token(settings, TrainingSettings(), forward) == {"total": 0}


def test_a_breakdown_adds_up_to_a_training() -> None:
    """Of 100 tokens in two steps: three forward passes, and 14 for each of the parameters and 3 for its gradient."""
    settings = TrainSettings(model=described("gru"), training=TrainingSettings(steps=2))
    forward = forward_flops_per_token(settings.model, VOCAB)
    found = breakdown(settings, VOCAB, forward, 100)
    assert found["training_total"] == 100 * (found["forward_per_token"]["total"] + found["backward_per_token"]["total"])
    assert found["update_per_step"]["total"] == 17 * parameters(settings.model, VOCAB, 0)["total"]


def test_a_translators_breakdown_is_of_its_sentences() -> None:
    settings = TrainSettings(model=described("transformer-seq2seq"))
    forward = {"total": 1}
    short, long = (breakdown(settings, VOCAB, forward, 1, Lengths(source, 8)) for source in (4, 8))
    same = breakdown(TrainSettings(model=described("transformer-seq2seq", context_length=8)), VOCAB, forward, 1)
    assert short["elementwise_per_token"]["encoder"] < long["elementwise_per_token"]["encoder"]
    assert long["elementwise_per_token"] == same["elementwise_per_token"]
