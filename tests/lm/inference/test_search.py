"""Greedy and beam search against the definition, on a model whose probabilities are written down."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stages.lm.inference.search import Translation, beam_search, greedy, length_penalty, translate
from stages.lm.inference.settings import SearchSettings
from stages.lm.models import registry
from stages.lm.models.seq2seq.interface import Seq2Seq
from stages.lm.models.settings import ModelSettings
from stages.lm.settings import parse

END = 0


class TableState:
    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def reorder(self, rows: Tensor) -> None:
        self.rows = self.rows[rows]


class Table(Seq2Seq):
    """ln p(next | source's first word, last token), from a table (sources, tokens, tokens)."""

    def __init__(self, log_probs: Tensor) -> None:
        super().__init__()
        self.log_probs, self.vocab_size, self.context_length = log_probs, log_probs.shape[-1], 99

    def start(self, source: Tensor, source_lengths: Tensor) -> TableState:  # noqa: ARG002
        return TableState(source[:, 0])

    def advance(self, state: Any, ids: Tensor) -> Tensor:
        return self.log_probs[state.rows, ids]


def table(seed: int, sources: int = 3, vocab: int = 4) -> Table:
    generator = torch.Generator().manual_seed(seed)
    return Table(torch.log_softmax(2 * torch.randn(sources, vocab, vocab, generator=generator, dtype=torch.float64), dim=-1))


def best_of_all(model: Table, source: int, limit: int, alpha: float) -> tuple[list[int], float]:
    """Every translation of at most `limit` tokens, the last END among them."""
    found = []
    for length in range(limit):
        for words in itertools.product(range(1, model.vocab_size), repeat=length):
            path = [END, *words, END]
            total = sum(model.log_probs[source, a, b].item() for a, b in itertools.pairwise(path))
            found.append((total / length_penalty(length + 1, alpha), list(words), total))
    _, words, total = max(found)
    return words, total


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_beam_as_wide_as_all_beginnings_finds_the_best(seed: int, alpha: float) -> None:
    model, limit = table(seed), 4
    sources, lengths = torch.tensor([[0], [1], [2]]), torch.tensor([1, 1, 1])
    found = beam_search(model, sources, lengths, END, torch.full((3,), limit), 3 ** (limit - 1), alpha)
    for source, translation in enumerate(found):
        words, total = best_of_all(model, source, limit, alpha)
        assert translation.tokens == words
        assert translation.log_prob == pytest.approx(total)
        assert translation.ended


def test_the_length_penalty_by_hand() -> None:
    assert length_penalty(1, 0.6) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(19, 0.5) == 2.0


def test_the_penalty_decides_between_short_and_long() -> None:
    """Ending at once has probability 0.4, the way over 1 and 2 has 0.36: divided by (6/6, 8/6)^alpha the longer one wins."""
    p = torch.full((1, 3, 3), 1e-9, dtype=torch.float64)
    p[0, 0, 0], p[0, 0, 1], p[0, 1, 2], p[0, 2, 0] = 0.4, 0.6, 0.6, 1.0
    model, source = Table(p.log()), (torch.tensor([[0]]), torch.tensor([1]))
    assert translate(model, *source, END, SearchSettings(length_penalty=0.0))[0].tokens == []
    assert translate(model, *source, END, SearchSettings(length_penalty=1.0))[0].tokens == [1, 2]
    found = translate(model, *source, END, SearchSettings(beam_size=1))
    assert found == [Translation([1, 2], pytest.approx(math.log(0.36)), True)]


def test_the_limit() -> None:
    """A model that never ends is cut at source length + extra tokens; one row's end does not depend on another's."""
    p = torch.zeros(2, 3, 3, dtype=torch.float64)
    p[0, :, 1], p[1, 0, 2], p[1, 2, 0] = 1.0, 1.0, 1.0
    source, lengths = torch.tensor([[0, 0], [1, 0]]), torch.tensor([2, 1])
    for beam_size in (1, 3):
        first, second = translate(Table(p.log()), source, lengths, END, SearchSettings(beam_size=beam_size, extra_tokens=3))
        assert (first.tokens, first.ended) == ([1] * 5, False)
        assert (second.tokens, second.ended) == ([2], True)


@pytest.mark.parametrize("family", ["transformer-seq2seq", "rnn-seq2seq"])
def test_real_models_translate_alike_alone_and_in_a_batch_and_without_a_cache(family: str) -> None:
    values = {"family": family, "d_model": 16, "context_length": 20}
    values |= {"layers": 2, "heads": 2} if family.startswith("transformer") else {}
    built: Any = registry.build(parse(ModelSettings, values, "model"), 12, seed=5)
    model = built.double().eval()
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([3, 6, 2, 5])
    source = torch.randint(1, 12, (4, 6), generator=generator)
    source[torch.arange(4), lengths - 1] = END
    settings = SearchSettings(extra_tokens=4, beam_size=3)
    together = translate(model, source, lengths, END, settings)
    for row, length in enumerate(lengths.tolist()):
        (alone,) = translate(model, source[row : row + 1, :length], lengths[row : row + 1], END, settings)
        assert alone.tokens == together[row].tokens
        path = torch.tensor([[END, *alone.tokens, *([END] if alone.ended else [])]])
        scored = model.token_log_probs(source[row : row + 1], lengths[row : row + 1], path, torch.tensor([path.shape[1]]))
        assert alone.log_prob == pytest.approx(scored.sum().item(), abs=1e-12)
    for row, found in enumerate(greedy(model, source, lengths, END, lengths + 4)):
        words: list[int] = [END]
        while len(words) <= int(lengths[row]) + 4:
            logits = model(source[row : row + 1], lengths[row : row + 1], torch.tensor([words]))
            words.append(int(logits[0, -1].argmax()))
            if words[-1] == END:
                break
        assert found.tokens == [word for word in words if word != END]
