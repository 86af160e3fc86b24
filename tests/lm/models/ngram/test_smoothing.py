"""Maximum likelihood, add-k and stupid back-off against their definitions in plain dictionaries, and by hand."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.models.ngram.model import NgramLM
from stages.lm.models.settings import NgramSettings
from stages.lm.tokens import TokenArray

END, VOCAB = 0, 6
DOCUMENTS = st.lists(st.lists(st.integers(1, 4), max_size=12), min_size=1, max_size=30)
TEXT = st.lists(st.integers(1, 5), max_size=6)
SMOOTHINGS: list[dict[str, Any]] = [
    {"smoothing": "mle"},
    {"smoothing": "add-k", "k": 0.3},
    {"smoothing": "stupid-backoff", "backoff": 0.4},
    {"smoothing": "kneser-ney"},
]


def fitted(documents: list[list[int]], order: int, **settings: Any) -> NgramLM:
    ids = [token for document in documents for token in [*document, END]]
    offsets = np.cumsum([0, *(len(document) + 1 for document in documents)])
    model = NgramLM(NgramSettings(family="ngram", order=order, **settings), VOCAB)
    model.fit(TokenArray(np.array(ids, dtype=np.uint16), offsets, np.ones(len(documents), dtype=np.int64)))
    return model


class Counted:
    """Raw counts of n-grams, with a start symbol that is not the end's."""

    def __init__(self, documents: list[list[int]], order: int) -> None:
        sentences = [("<s>", *document, END) for document in documents]
        lengths = range(1, order + 1)
        self.count = Counter(
            s[i : i + n] for s in sentences for n in lengths for i in range(len(s) - n + 1) if s[i : i + n] != ("<s>",)
        )

    def following(self, context: tuple[object, ...]) -> dict[int, int]:
        return {w: self.count[*context, w] for w in range(VOCAB) if (*context, w) in self.count}


def mle(counted: Counted, context: tuple[object, ...], settings: dict[str, Any]) -> list[float]:
    following = counted.following(context)
    if not following:
        return mle(counted, context[1:], settings)
    return [following.get(w, 0) / sum(following.values()) for w in range(VOCAB)]


def add_k(counted: Counted, context: tuple[object, ...], settings: dict[str, Any]) -> list[float]:
    following, k = counted.following(context), settings["k"]
    return [(following.get(w, 0) + k) / (sum(following.values()) + k * VOCAB) for w in range(VOCAB)]


def stupid(counted: Counted, context: tuple[object, ...], settings: dict[str, Any]) -> list[float]:
    """The scores of Brants et al. (2007), equation 5, divided by their sum."""

    def score(context: tuple[object, ...], w: int) -> float:
        following = counted.following(context)
        if w in following:
            return following[w] / sum(following.values())
        return settings["backoff"] * score(context[1:], w) if context else 0.0

    scores = [score(context, w) for w in range(VOCAB)]
    return [value / sum(scores) for value in scores]


DEFINITIONS = {"mle": mle, "add-k": add_k, "stupid-backoff": stupid}


@pytest.mark.parametrize("settings", SMOOTHINGS[:3], ids=lambda settings: settings["smoothing"])
@given(documents=DOCUMENTS, order=st.integers(1, 4), text=TEXT)
def test_every_distribution_is_that_of_the_definition(
    settings: dict[str, Any], documents: list[list[int]], order: int, text: list[int]
) -> None:
    model, counted = fitted(documents, order, **settings), Counted(documents, order)
    context: tuple[object, ...] = ("<s>", *text)[max(0, len(text) + 2 - order) :] if order > 1 else ()
    expected = DEFINITIONS[settings["smoothing"]](counted, context, settings)
    found = model.advance(model.start(1), torch.tensor([[END, *text]]))[0].exp()
    assert found.tolist() == pytest.approx(expected, rel=2e-6, abs=1e-12)


@pytest.mark.parametrize("settings", SMOOTHINGS, ids=lambda settings: settings["smoothing"])
@given(documents=DOCUMENTS, order=st.integers(1, 4), text=TEXT)
def test_a_distribution_adds_up_to_one_and_holds_what_is_scored(
    settings: dict[str, Any], documents: list[list[int]], order: int, text: list[int]
) -> None:
    model = fitted(documents, order, **settings)
    log_probs = model.advance(model.start(1), torch.tensor([[END, *text]]))[0]
    assert log_probs.exp().sum().item() == pytest.approx(1.0, abs=1e-6)
    candidates = torch.tensor([[END, *text, w] for w in range(VOCAB)])
    assert torch.equal(model.token_log_probs(candidates)[:, -1], log_probs)


def test_add_one_by_hand() -> None:
    """After a came b once and a once: p(b | a) = (1 + 1) / (3 + 6), where a came before the end as well."""
    model = fitted([[1, 2], [1, 1]], 2, smoothing="add-k", k=1.0)
    assert model.token_log_probs(torch.tensor([[1, 2]])).exp().item() == pytest.approx(2 / 9)
    assert model.token_log_probs(torch.tensor([[5, 2]])).exp().item() == pytest.approx(1 / 6)  # 5 was never seen


def test_stupid_backoff_by_hand() -> None:
    """After b came only the end, so S = (1, 0.4 3/6, 0.4 1/6) for the end, a and b; they add up to 1.26667."""
    model = fitted([[1, 2], [1, 1]], 2, smoothing="stupid-backoff")
    assert model.token_log_probs(torch.tensor([[2, 1]])).exp().item() == pytest.approx(0.2 / (1 + 0.2 + 0.4 / 6))


def test_maximum_likelihood_has_an_infinite_loss_on_what_was_never_seen() -> None:
    model = fitted([[1, 2], [1, 1]], 2, smoothing="mle")
    assert model.token_log_probs(torch.tensor([[2, 1, 1]])).tolist() == [[float("-inf"), pytest.approx(np.log(1 / 3))]]
