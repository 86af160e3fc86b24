"""The n-gram model against numbers worked by hand, the definition in plain dictionaries, and the laws of probability."""

import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.errors import UserError
from stages.lm.models.interface import LanguageModel
from stages.lm.models.ngram.kneser_ney import Discounts
from stages.lm.models.ngram.model import NgramLM
from stages.lm.models.settings import NgramSettings
from stages.lm.tokens import TokenArray

END = 0


def tokens(documents: list[list[int]]) -> TokenArray:
    ids = [token for document in documents for token in [*document, END]]
    offsets = np.cumsum([0, *(len(document) + 1 for document in documents)])
    return TokenArray(np.array(ids, dtype=np.uint16), offsets, np.ones(len(documents), dtype=np.int64))


def untrained(order: int, vocab_size: int, **settings: Any) -> NgramLM:
    return NgramLM(NgramSettings(family="ngram", order=order, **settings), vocab_size)


def fitted(documents: list[list[int]], order: int, vocab_size: int) -> NgramLM:
    model = untrained(order, vocab_size)
    model.fit(tokens(documents))
    return model


def probability(model: NgramLM, *sequence: int) -> float:
    """p(last | the others)."""
    return float(model.token_log_probs(torch.tensor([sequence]))[0, -1].exp())


def test_bigrams_by_hand() -> None:
    """Documents "a b" and "a a". Discounts: the fallback 0.5, 1, 1.5, since nothing occurs three times.

    Contexts before a: start, a; before b: a; before the end: b, a. So p(a) = (2 - 1)/5 + (1 + 0.5 + 1)/5 * 1/3 = 11/30,
    p(b) = (1 - 0.5)/5 + 0.5/3 = 8/30. After a come b, a and the end, once each: p(b | a) = 0.5/3 + 1.5/3 * 8/30 = 0.3.
    After the start comes a, twice: p(a | start) = (2 - 1)/2 + 1/2 * 11/30.
    """
    model = fitted([[1, 2], [1, 1]], order=2, vocab_size=3)
    assert probability(model, 1, 2) == pytest.approx(0.3)
    assert probability(model, END, 1) == pytest.approx(0.5 + 11 / 60)
    assert probability(model, 2, 2) == pytest.approx(0.5 * 8 / 30)


def test_discounts_by_hand() -> None:
    """t = 4, 2, 2, 1: Y = 4/8; D1 = 1 - 2 Y 2/4, D2 = 2 - 3 Y 2/2, D3 = 3 - 4 Y 1/2."""
    discounts = Discounts.from_counts(np.array([1, 1, 1, 1, 2, 2, 3, 3, 4, 9, 0]))
    assert discounts.values == pytest.approx((0.5, 0.5, 2.0))
    assert discounts.of(np.array([0, 1, 2, 3, 100])).tolist() == pytest.approx([0, 0.5, 0.5, 2, 2])


class Definition:
    """Interpolated modified Kneser-Ney in dictionaries, with two different boundary symbols."""

    def __init__(self, documents: list[list[int]], order: int, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        sentences = [["<s>", *document, END] for document in documents]
        raw = [Counter(tuple(s[i : i + n]) for s in sentences for i in range(len(s) - n + 1)) for n in range(1, order + 1)]
        self.counts: list[dict[tuple[object, ...], int]] = []
        for n in range(1, order + 1):
            if n == order:
                counts = dict(raw[n - 1])
            else:
                before = defaultdict(set)
                for gram in raw[n]:
                    before[gram[1:]].add(gram[0])
                counts = {g: c if g[0] == "<s>" else len(before[g]) for g, c in raw[n - 1].items()}
            self.counts.append({g: c for g, c in counts.items() if g != ("<s>",)})
        self.discounts = [Discounts.from_counts(np.array(list(c.values()), dtype=np.int64)).values for c in self.counts]

    def probability(self, context: tuple[object, ...], word: int) -> float:
        n = len(context) + 1
        lower = self.probability(context[1:], word) if context else 1 / self.vocab_size
        following = {g: c for g, c in self.counts[n - 1].items() if g[:-1] == context}
        if not following:
            return lower
        total = sum(following.values())
        discount = [0.0, *self.discounts[n - 1]]
        own = following.get((*context, word), 0)
        left = sum(discount[min(c, 3)] for c in following.values())
        return (own - discount[min(own, 3)] + left * lower) / total


documents_strategy = st.lists(st.lists(st.integers(1, 4), max_size=12), min_size=1, max_size=30)


@given(documents_strategy, st.integers(1, 4), st.lists(st.integers(1, 5), max_size=6))
def test_every_probability_is_that_of_the_definition(documents: list[list[int]], order: int, text: list[int]) -> None:
    vocab_size = 6  # token 5 is never seen in training
    model, definition = fitted(documents, order, vocab_size), Definition(documents, order, vocab_size)
    sequence = [END, *text, END]
    found = model.token_log_probs(torch.tensor([sequence]))[0].exp().tolist()
    symbols: list[object] = ["<s>", *text]
    for position, word in enumerate(sequence[1:]):
        context = tuple(symbols[: position + 1][max(0, position + 2 - order) :]) if order > 1 else ()
        assert found[position] == pytest.approx(definition.probability(context, word), rel=1e-6)


@given(documents_strategy, st.integers(1, 4), st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_probabilities_add_up_to_one_after_any_context(documents: list[list[int]], order: int, context: list[int]) -> None:
    model = fitted(documents, order, 6)
    log_probs = model.advance(model.start(1), torch.tensor([context]))
    assert torch.isfinite(log_probs).all()
    assert log_probs.exp().sum().item() == pytest.approx(1.0, abs=1e-6)


@given(documents_strategy, st.integers(1, 4))
def test_reading_piece_by_piece_gives_exactly_what_reading_at_once_gives(documents: list[list[int]], order: int) -> None:
    model = fitted(documents, order, 6)
    ids = torch.tensor([[0, 1, 2, 3, 0, 5, 1, 1], [3, 3, 1, 0, 0, 2, 4, 1]])
    at_once, state = model.token_log_probs(ids), model.start(2)
    for position, part in ((0, ids[:, :1]), (1, ids[:, 1:2]), (4, ids[:, 2:5]), (6, ids[:, 5:7])):
        log_probs = model.advance(state, part)
        assert torch.equal(log_probs.gather(1, ids[:, position + 1 : position + 2])[:, 0], at_once[:, position])


def test_nothing_is_learned_across_documents() -> None:
    apart, together = fitted([[1, 2]] * 20 + [[3, 4]] * 20, 3, 5), fitted([[1, 2, 3, 4]] * 20, 3, 5)
    assert probability(apart, 2, 3) < 0.1 < 0.5 < probability(together, 2, 3)
    assert probability(apart, 1, 2, END, 3) == probability(apart, END, 3)  # only the document's start is seen


def test_a_saved_model_comes_back_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = fitted([rng.integers(1, 50, size=40).tolist() for _ in range(50)], 4, 60)
    model.save(tmp_path)
    loaded = NgramLM.load(tmp_path, NgramSettings(family="ngram", order=4), 60)
    ids = torch.from_numpy(rng.integers(0, 60, size=(3, 20)))
    assert isinstance(loaded, LanguageModel)
    assert torch.equal(loaded.token_log_probs(ids), model.token_log_probs(ids))
    assert loaded.num_parameters() == model.num_parameters()
    with pytest.raises(UserError, match=r"backoff\.3 is .* need nothing"):
        NgramLM.load(tmp_path, NgramSettings(family="ngram", order=3), 60)
    with pytest.raises(UserError, match=r"backoff\.1 is \(60,\)"):
        NgramLM.load(tmp_path, NgramSettings(family="ngram", order=4), 61)


def test_a_sequence_does_not_depend_on_its_batch() -> None:
    model = fitted([[1, 2, 3], [2, 3, 1]], 3, 4)
    batch = torch.tensor([[0, 1, 2, 3], [0, 2, 3, 1]])
    assert torch.equal(model.token_log_probs(batch)[1], model.token_log_probs(batch[1:])[0])


def test_learns_more_from_longer_contexts() -> None:
    """A period of three tokens, where the next token is known from two but not from one."""
    document = [1, 1, 2] * 100
    losses = [-fitted([document], n, 3).token_log_probs(torch.tensor([[END, *document]])).mean().item() for n in (1, 2, 3)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 0.1 < math.log(2) / 2 < losses[1]


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="no tokens"):
        untrained(2, 5).fit(TokenArray(np.empty(0, np.uint16), np.zeros(1, np.int64), np.empty(0, np.int64)))
    with pytest.raises(UserError, match="token 7, but the vocabulary has 5"):
        untrained(2, 5).fit(tokens([[7]]))
