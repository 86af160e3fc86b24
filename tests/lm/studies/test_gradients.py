"""Gradients by distance: against autograd in one piece, the one case that is known exactly, and the bound."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch.nn import functional as F

from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.recurrent.language_model import RecurrentLM
from stages.lm.models.settings import ModelSettings
from stages.lm.studies.gradients import describe, gradient_norms, measure, train
from stages.lm.studies.settings import GradientStudy, Initialisation
from stages.lm.tokens import TokenArray

VOCAB = 13
IDS = np.random.default_rng(0).integers(VOCAB, size=300).astype(np.uint16)
TOKENS = TokenArray(IDS, np.array([0, 300]), np.array([300]))


def settings(family: str, **changes: object) -> Any:
    values: dict[str, object] = {"family": family, "layers": 1, "d_model": 8, "context_length": 8}
    return TypeAdapter(ModelSettings).validate_python(values | changes)


def model(family: str, **changes: object) -> RecurrentLM:
    built = registry.build(settings(family, **changes), VOCAB, 0)
    assert isinstance(built, RecurrentLM)
    return built.double()


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(VOCAB, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_norms_are_those_of_the_whole_chain(family: str, layers: int) -> None:
    built, batch = model(family, layers=layers), ids(3, 10)
    norms, states = gradient_norms(built, batch)
    for back in range(10):
        state = tuple(memory.detach().requires_grad_() for memory in states[9 - back])
        features = built.features(batch[:, 9 - back : 9], state)[0][:, -1] if back else state[0][:, -1]
        loss = F.cross_entropy(built.lm_head(features), batch[:, 9], reduction="sum")
        parts = torch.autograd.grad(loss, state, materialize_grads=True)
        expected = torch.cat([part.flatten(1) for part in parts], dim=1).norm(dim=1)
        np.testing.assert_allclose(norms[:, back], expected.numpy(), rtol=1e-10)


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.5])
def test_where_tanh_is_linear_every_step_multiplies_by_the_gain(gain: float) -> None:
    """Without input h stays 0, where tanh has slope 1, and an orthogonal matrix times the gain stretches all alike by it."""
    built = model("rnn", recurrent_gain=gain)
    torch.nn.init.zeros_(built.token_embeddings.weight)
    norms, _ = gradient_norms(built, ids(2, 30))
    np.testing.assert_allclose(norms / norms[:, :1], np.tile(gain ** np.arange(30.0), (2, 1)), rtol=1e-5)
    found = describe(built, ids(2, 30))
    assert found["slope_max"] == pytest.approx(1.0)
    np.testing.assert_allclose(found["bound"], found["norms"], rtol=1e-5)


@pytest.mark.parametrize("init", ["orthogonal", "normal"])
@pytest.mark.parametrize("gain", [0.3, 1.0, 3.0])
def test_no_gradient_of_an_rnn_is_above_its_bound(init: str, gain: float) -> None:
    built = model("rnn", d_model=16, recurrent_init=init, recurrent_gain=gain)
    norms, _ = gradient_norms(built, ids(8, 40))
    found = describe(built, ids(8, 40))
    factor = found["sigma_max"] * found["slope_max"]
    assert (norms <= norms[:, :1] * factor ** np.arange(40.0) * (1 + 1e-9)).all()


def study(**changes: object) -> GradientStudy:
    return GradientStudy(kind="gradients", distance=12, sequences=4, steps=3).model_copy(update=changes)


def test_a_clipped_step_is_no_longer_than_the_learning_rate_times_the_clip_norm() -> None:
    moved = []
    for clip_norm in (0.01, float("inf")):
        built = model("rnn")
        before = [parameter.detach().clone() for parameter in built.parameters()]
        logged = train(built, study(steps=1, learning_rate=0.5), TOKENS, clip_norm)
        pairs = zip(built.parameters(), before, strict=True)
        moved.append(sum((now - then).square().sum().item() for now, then in pairs) ** 0.5)
        assert logged["norm"][0] is not None
        assert logged["norm"][0] > 0.01
    assert moved[0] == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert moved[1] == pytest.approx(0.5 * logged["norm"][0])


def test_training_ends_where_the_gradient_is_no_number() -> None:
    logged = train(model("rnn"), study(steps=50, learning_rate=1.5e308), TOKENS, float("inf"))
    assert len(logged["norm"]) < 50
    assert logged["norm"][-1] is None
    assert None not in logged["norm"][:-1]


def test_a_study_holds_every_model_with_every_start() -> None:
    starts = (
        Initialisation(recurrent_init="orthogonal", recurrent_gain=1.0),
        Initialisation(recurrent_init="normal", recurrent_gain=2.0),
    )
    chosen = study(initialisations=starts)
    stats = measure(chosen, {"a": settings("rnn", layers=2), "b": settings("lstm")}, TOKENS, VOCAB)
    assert [(run["model"], run["recurrent_init"]) for run in stats["runs"]] == [
        (name, init) for name in "ab" for init in ("orthogonal", "normal")
    ]
    assert all(len(run[moment]["norms"]) == 13 for run in stats["runs"] for moment in ("at_start", "trained"))
    assert [("bound" in run["at_start"]) for run in stats["runs"]] == [True, True, False, False]
    assert stats == measure(chosen, {"a": settings("rnn", layers=2), "b": settings("lstm")}, TOKENS, VOCAB)


def test_models_without_recurrence_and_short_texts_are_refused() -> None:
    with pytest.raises(UserError, match=r"models\.t: is of family ngram; this study is about rnn, lstm and gru"):
        measure(study(), {"t": TypeAdapter(ModelSettings).validate_python({"family": "ngram"})}, TOKENS, VOCAB)
    with pytest.raises(UserError, match=r"measure\.distance is 300, but the train split has only 300 tokens"):
        measure(study(distance=300), {"a": settings("rnn")}, TOKENS, VOCAB)
