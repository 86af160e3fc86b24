"""Drafts change nothing: greedy texts are the same, and what is drawn has the same distribution, whatever the draft says."""

import itertools
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.inference.compiled import CompiledLM
from stages.lm.inference.generation import Request, Text, collected, generate, sample_generator
from stages.lm.inference.loading import Trained
from stages.lm.inference.reading import TransformerReader, reader
from stages.lm.inference.repeats import Repeats
from stages.lm.inference.sampling import shaped
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.speculation import Tally, check, propose, speculate, speculate_text
from stages.lm.inference.stopping import Stop
from stages.lm.models import registry
from tests.lm.inference.test_compiled import uncompiled
from tests.lm.inference.test_families import END, GREEDY, PROMPTS, VOCAB, model_of
from tests.lm.models.variants import CONTEXT, settings

CPU = torch.device("cpu")
DRAFTED_FOR = ["default", "GPT-2", "Vaswani", "shared heads", "sliding window", "Mistral", "strided", "ngram"]


def trained(name: str) -> Trained:
    return Trained(model_of(name), END, CPU, "")


@pytest.mark.parametrize("name", DRAFTED_FOR)
def test_greedy_texts_are_the_same(name: str) -> None:
    """By a draft that knows nothing of the model, and by the model itself; also past the end of the context."""
    model = trained(name)
    requests = [Request(prompt, sample_generator(0, number, 0)) for number, prompt in enumerate(PROMPTS[1:3])]
    plain = generate(model, requests, GREEDY, Stop())
    for draft, count in (("ngram", 3), (name, 4)):
        tally, settings = Tally(), GREEDY.model_copy(update={"draft": draft, "draft_tokens": count})
        found = collected(speculate(model, trained(draft), requests, settings, Stop(), tally), len(requests), Stop())
        assert [text.tokens for text in found] == [text.tokens for text in plain]
        assert tally.passes + tally.taken == 30 * len(requests)


@pytest.mark.parametrize("name", ["default", "GPT-2", "Vaswani", "shared heads", "sliding window", "strided"])
def test_compiled_code_reads_drafts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One, two, four or eight tokens at a time, as many as were drafted, where the context has room; without the compiler."""
    shapes = uncompiled(monkeypatch)
    model = trained(name)
    requests = [Request(prompt, sample_generator(0, number, 0)) for number, prompt in enumerate(PROMPTS[1:3])]
    plain = generate(model, requests, GREEDY, Stop())
    sure: dict[str, Any] = {"compile": True, "draft_repeats": False, "draft_confidence": 0.0}
    for draft, count in (("ngram", 1), ("ngram", 3), (name, 4), ("ngram", 8)):
        tally, settings = Tally(), GREEDY.model_copy(update=sure | {"draft": draft, "draft_tokens": count})
        by_code = model._replace(model=CompiledLM(model.model))  # type: ignore[arg-type]
        found = collected(speculate(by_code, trained(draft), requests, settings, Stop(), tally), len(requests), Stop())
        assert [text.tokens for text in found] == [text.tokens for text in plain]
    assert {shape[:2] for shape in shapes} >= {(1, 1), (1, 2), (1, 4), (1, 8), (1, 16)}
    assert {shape[1] for shape in shapes} <= {1, 2, 4, 8, 16}


@pytest.mark.parametrize("context", [1, 2, 5, 8])
def test_a_draft_may_see_less_than_it_drafts(context: int) -> None:
    """It slides while it drafts, and what it drafted is rejected: it goes back to what it no longer sees."""
    described, tally = settings(layers=1, context_length=context), Tally()
    draft = Trained(registry.build(described, VOCAB, 7), END, CPU, "")
    requests = [Request(prompt, sample_generator(0, number, 0)) for number, prompt in enumerate(PROMPTS)]
    decoding = GREEDY.model_copy(update={"draft": "short", "draft_tokens": 8, "draft_repeats": False})
    found = collected(speculate(trained("default"), draft, requests, decoding, Stop(), tally), len(requests), Stop())
    assert [text.tokens for text in found] == [text.tokens for text in generate(trained("default"), requests, GREEDY, Stop())]
    assert tally.taken < tally.drafted / 2


def test_a_reader_that_slid_goes_back_to_at_least_half_a_context() -> None:
    model, ids = trained("default"), torch.arange(100).remainder(19).tolist()
    text = TransformerReader(model.model, CPU)
    for length in (20, 30, 17, 60, 58, 45, 3, 100, 12):
        found, seen = text.after(ids[:length], 1), ids[text.begin : length]
        assert len(seen) >= min(length, CONTEXT // 2)
        torch.testing.assert_close(found, model.model.advance(model.model.start(1), torch.tensor([seen])), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["default", "sliding window", "ngram"])
def test_what_the_model_itself_drafts_is_taken(name: str) -> None:
    """Within a context: beyond it, the one that drafts starts anew at other places."""
    model, tally, request = trained(name), Tally(), Request(PROMPTS[0], sample_generator(0, 0, 0))
    settings = DecodingSettings(max_tokens=20, draft=name, draft_tokens=4, draft_repeats=False, draft_confidence=0.0)
    deque(speculate(model, model, [request], settings, Stop(), tally), maxlen=0)
    assert (tally.passes, tally.drafted, tally.taken) == (4, 16, 16)


@pytest.mark.parametrize("name", DRAFTED_FOR)
def test_a_reader_goes_back_and_forth(name: str) -> None:
    """Its probabilities are those of a model that reads the text from the beginning."""
    model = trained(name)
    text, generator = reader(model), torch.Generator().manual_seed(0)
    ids = [END]
    for _ in range(12):
        keep = int(torch.randint(1, len(ids) + 1, (1,), generator=generator))
        ids = ids[:keep] + torch.randint(1, 19, (3,), generator=generator).tolist()
        ids = ids[:20]  # within the context
        count = min(3, len(ids))
        found = text.after(ids, count)
        for place, end in enumerate(range(len(ids) - count + 1, len(ids) + 1)):
            expected = model.model.advance(model.model.start(1), torch.tensor([ids[:end]]))[0]
            torch.testing.assert_close(found[place], expected, rtol=1e-9, atol=1e-9)


class Table:
    """A reader whose model is ln p(next | last) = table[last]."""

    def __init__(self, seed: int, sharpness: float) -> None:
        scores = torch.randn(4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.log_probs = (sharpness * scores).log_softmax(-1)

    def room(self, ids: Sequence[int]) -> None:  # noqa: ARG002
        return None

    def after(self, ids: Sequence[int], count: int) -> Tensor:
        return self.log_probs[list(ids[-count:])]


@pytest.mark.parametrize(
    ("draft", "settings", "prompt"),
    [
        (Table(2, 1.0), {}, [3]),
        (Table(1, 1.0), {}, [3]),  # the model itself
        (Table(3, 6.0), {"temperature": 1.5}, [3]),  # sure of the wrong tokens
        (Table(2, 1.0), {"top_k": 2}, [3]),
        (Table(2, 1.0), {"top_p": 0.7, "repetition_penalty": 1.5, "repetition_window": 2}, [3]),
        (Table(2, 1.0), {"presence_penalty": 1.0, "frequency_penalty": 0.5, "draft_tokens": 1}, [3]),
        (Table(2, 1.0), {"draft_confidence": 0.5}, [3]),  # after some tokens nothing is drafted
        (Table(2, 1.0), {}, [3, 1, 2, 3, 1, 2, 3]),  # what is repeated is drafted
        (Table(2, 1.0), {"top_p": 0.7, "draft_tokens": 3}, [2, 2, 2, 2]),
    ],
)
def test_texts_have_the_distribution_of_the_model(draft: Table, settings: dict[str, Any], prompt: list[int]) -> None:
    """Three tokens, by Pearson's statistic over all that can be drawn: its mean is their number, its deviation sqrt(2 n)."""
    model, draws = Table(1, 1.0), 600
    plain: dict[str, Any] = {"temperature": 1.0, "top_p": None, "repetition_penalty": 1.0, "max_tokens": 3, "draft_tokens": 2}
    decoding = DecodingSettings(**plain | settings)
    generator, tally, found = torch.Generator().manual_seed(5), Tally(), Counter[tuple[int, ...]]()
    for _ in range(draws):
        text = Text(0, [0, *prompt], generator)
        found[tuple(token.id for token in speculate_text(model, draft, text, decoding, Stop(), tally))] += 1
    statistic, possible = 0.0, 0
    for tokens in itertools.product(range(4), repeat=3):
        expected = draws * chance(model, prompt, tokens, decoding)
        if expected == 0:
            assert found[tokens] == 0
        elif expected >= 2:
            statistic, possible = statistic + (found[tokens] - expected) ** 2 / expected, possible + 1
    assert statistic < possible + 3.1 * (2 * possible) ** 0.5
    assert 0 < tally.taken <= tally.drafted


def chance(model: Table, prompt: list[int], tokens: Sequence[int], decoding: DecodingSettings) -> float:
    """The probability of a text after the prompt, one token after the other."""
    text, product = Text(0, [0, *prompt], torch.Generator()), 1.0
    for token in tokens:
        recent = torch.tensor([text.recent(decoding.repetition_window, 4)])
        product *= shaped(model.after(text.ids, 1), recent, decoding, text.counts(4)[None])[0, token].exp().item()
        text.append(token)
    return product


class Silent(Table):
    """A draft that must not be asked."""

    def after(self, ids: Sequence[int], count: int) -> Tensor:  # noqa: ARG002
        raise AssertionError


def test_what_a_text_repeats_is_drafted_without_the_draft() -> None:
    """The newest of what followed its last three tokens; and nothing where the draft is not sure enough."""
    repeats, text = Repeats(), Text(0, [0, 1, 2, 3, 1, 1, 2, 3, 2, 1, 2, 3], torch.Generator())
    repeats.read(text.ids)
    assert propose(Silent(0, 1.0), repeats, text, DecodingSettings(draft="it"), 2) == ([2, 1], [None, None])
    assert text.ids[-1] == 3
    for least, drafted in ((0.0, 1), (1.0, 0)):
        unsure = DecodingSettings(draft="it", draft_confidence=least)
        assert len(propose(Table(2, 1.0), Repeats(), text, unsure, 1)[0]) == drafted
    ahead = text.copy()
    for token in (1, 0, 2, 0):
        ahead.append(token)
        repeats.read(ahead.ids)
    assert [repeats.after(ids) for ids in ([1, 2, 3], [9, 3, 1, 0], [2, 3], [0, 2, 0])] == [1, 2, None, None]


def test_what_cannot_take_tokens_back_is_refused() -> None:
    for model, draft, which in (("default", "lstm", "the one that drafts"), ("linear", "ngram", "the model")):
        with pytest.raises(UserError, match=f"draft: {which} is of a kind that cannot take tokens back"):
            check(trained(model), trained(draft))
    with pytest.raises(ValueError, match="draft: goes with one text at a time"):
        DecodingSettings(draft="other", batch_size=2)


def test_the_tally_by_hand() -> None:
    summary = Tally(drafted=8, taken=6, passes=4).summary()
    assert (summary["acceptance"], summary["tokens_per_pass"]) == (0.75, 2.5)
