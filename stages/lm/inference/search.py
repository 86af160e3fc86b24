"""The most probable translation that can be found: a token at a time (greedy), or by beam search.

Beam search with the length penalty of Wu et al. 2016, "Google's Neural Machine Translation System", section 7, equation 14. Every
source is read once, and each further token costs one position. Language models are searched in the same way: `beams`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stages.lm.inference.settings import SearchSettings
from stages.lm.models.seq2seq.interface import Seq2Seq


class Translation(NamedTuple):
    """What was found."""

    tokens: list[int]
    """Without the end-of-text token."""
    log_prob: float
    """ln p(tokens | source or prompt), the end-of-text token included if it was reached."""
    ended: bool
    """Whether it was reached before the limit."""


@torch.inference_mode()
def translate(model: Seq2Seq, source: Tensor, lengths: Tensor, end_of_text: int, settings: SearchSettings) -> list[Translation]:
    """Translations of a batch of sources (batch, n), padded, of so many ids (batch), the end-of-text id included."""
    limits = (lengths + settings.extra_tokens).clamp(max=model.context_length)
    if settings.beam_size == 1:
        return greedy(model, source, lengths, end_of_text, limits)
    return beam_search(model, source, lengths, end_of_text, limits, settings.beam_size, settings.length_penalty)


def greedy(model: Seq2Seq, source: Tensor, lengths: Tensor, end_of_text: int, limits: Tensor) -> list[Translation]:
    """Always the most probable next token, until it is the end-of-text token or there are `limits` (batch) tokens."""
    state = model.start(source, lengths)
    ids = torch.full_like(lengths, end_of_text)
    going = torch.ones_like(lengths, dtype=torch.bool)
    log_probs = torch.zeros(len(source), dtype=torch.float64, device=source.device)
    written = []
    while going.any():
        best, ids = model.advance(state, ids).max(dim=-1)  # (batch) each
        log_probs += best * going
        written.append(torch.where(going, ids, end_of_text))
        going = going & (ids != end_of_text) & (len(written) < limits)
    rows = torch.stack(written, dim=1).tolist()
    return [
        _translation(row[:limit], total, end_of_text)
        for row, total, limit in zip(rows, log_probs.tolist(), limits.tolist(), strict=True)
    ]


def beam_search(
    model: Seq2Seq, source: Tensor, lengths: Tensor, end_of_text: int, limits: Tensor, beam_size: int, alpha: float
) -> list[Translation]:
    """The best of all translations met while the `beam_size` most probable beginnings are followed, see `follow`."""
    state = model.start(source, lengths)
    log_probs = model.advance(state, torch.full_like(lengths, end_of_text))  # (batch, vocab)
    return follow(state, partial(model.advance, state), log_probs, end_of_text, limits, beam_size, alpha)


def follow(
    state: Any,
    advance: Callable[[Tensor], Tensor],
    log_probs: Tensor,
    end_of_text: int,
    limits: Tensor,
    beam_size: int,
    alpha: float,
) -> list[Translation]:
    """The best sentence of each row of a state by beam search; log_probs (batch, vocab) are of its first token.

    Best is the highest ln p / length_penalty. A sentence is done when no beginning can lead to a better one than the best that
    has ended, or at its limit (batch); where none has ended there, the most probable beginning is taken. `advance` takes the next
    token of each row of the state, which it changes, and gives ln p of those that follow.
    """
    batch = len(limits)
    state.reorder(torch.arange(batch, device=limits.device).repeat_interleave(beam_size))
    beams = _Beams.start(batch, beam_size, limits, log_probs)
    found: list[tuple[float, Translation]] = [(float("-inf"), Translation([], 0.0, False))] * batch
    while True:
        rows, tokens = beams.extend(log_probs, end_of_text, alpha, found)
        if not len(rows):
            return [translation for _, translation in found]
        state.reorder(rows)
        log_probs = advance(tokens)  # (sentences * beams, vocab)


def length_penalty(length: Any, alpha: float) -> Any:
    """((5 + length) / 6) ** alpha: a log-probability divided by it no longer prefers short translations."""
    return ((5 + length) / 6) ** alpha


class _Beams:
    """The beginnings that are followed, for the sentences that are not done."""

    def __init__(self, sentences: Tensor, limits: Tensor, scores: Tensor, written: Tensor) -> None:
        self.sentences, self.limits = sentences, limits  # (sentences)
        self.scores, self.written = scores, written  # (sentences, beams), (sentences, beams, length)

    @classmethod
    def start(cls, batch: int, beam_size: int, limits: Tensor, log_probs: Tensor) -> "_Beams":
        """Nothing is written: beams of probability 1 and, beside it, of probability 0."""
        scores = log_probs.new_full((batch, beam_size), float("-inf"), dtype=torch.float64)
        scores[:, 0] = 0.0
        sentences = torch.arange(batch, device=limits.device)
        return cls(sentences, limits, scores, sentences.new_empty(batch, beam_size, 0))

    def extend(
        self, log_probs: Tensor, end_of_text: int, alpha: float, found: list[tuple[float, Translation]]
    ) -> tuple[Tensor, Tensor]:
        """Extend every beam by a token, keep the best, put what has ended into `found`, and drop sentences that are done.

        log_probs: (sentences * beams, vocab), or (sentences, vocab) for the first token. Returns the row that each beam of the
        remaining sentences comes from, and its token.
        """
        count, size = self.scores.shape
        vocab = log_probs.shape[-1]
        totals = self.scores[:, :, None] + log_probs.view(count, -1, vocab)  # (sentences, beams, vocab)
        scores, places = totals.flatten(1).topk(min(2 * size, size * vocab))  # as many that go on as beams, whatever ends
        parents, tokens = places // vocab, places % vocab  # (sentences, 2 beams)
        ends = tokens == end_of_text
        length = self.written.shape[2] + 1
        self._note(found, scores.masked_fill(~ends, float("-inf")), parents, length, alpha)

        self.scores, kept = scores.masked_fill(ends, float("-inf")).topk(size)
        parents, tokens = parents.gather(1, kept), tokens.gather(1, kept)  # (sentences, beams)
        self.written = torch.cat((self.written.gather(1, parents[:, :, None].expand_as(self.written)), tokens[:, :, None]), dim=2)
        going = self._going(found, length, alpha)
        rows = torch.arange(count, device=parents.device)[:, None] * size + parents
        self.sentences, self.limits = self.sentences[going], self.limits[going]
        self.scores, self.written = self.scores[going], self.written[going]
        return rows[going].flatten(), tokens[going].flatten()

    def _note(self, found: list[tuple[float, Translation]], ended: Tensor, parents: Tensor, length: int, alpha: float) -> None:
        """Replace a sentence's translation by the best one that ends now, where that is better."""
        scores, places = ended.max(dim=1)
        best = scores / length_penalty(length, alpha)
        for row, (sentence, score, total) in enumerate(zip(self.sentences.tolist(), best.tolist(), scores.tolist(), strict=True)):
            if score > found[sentence][0]:
                tokens = self.written[row, parents[row, places[row]]].tolist()
                found[sentence] = (score, Translation(tokens, total, True))

    def _going(self, found: list[tuple[float, Translation]], length: int, alpha: float) -> Tensor:
        """Which sentences are not done: (sentences). Log-probabilities only fall, so a beam's hope is to stay as it is."""
        hopes = self.scores[:, 0] / length_penalty(self.limits, alpha)
        going = []
        for row, (sentence, hope, limit) in enumerate(
            zip(self.sentences.tolist(), hopes.tolist(), self.limits.tolist(), strict=True)
        ):
            if length == limit and not found[sentence][1].ended:
                tokens = self.written[row, 0].tolist()
                found[sentence] = (hope, Translation(tokens, self.scores[row, 0].item(), False))
            going.append(length < limit and hope > found[sentence][0])
        return torch.tensor(going, device=self.scores.device)


def _translation(row: list[int], log_prob: float, end_of_text: int) -> Translation:
    ended = end_of_text in row
    return Translation(row[: row.index(end_of_text)] if ended else row, log_prob, ended)
