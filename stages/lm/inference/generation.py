"""Autoregressive generation: texts from any prompts, side by side, a token of each at a time.

A text always begins at a document boundary: the model first reads the end-of-text token and then the prompt, as it did in
training. A prompt longer than the context keeps its last `context_length` tokens. When a text grows past the context, the
model starts anew from the last half of a context, so that every token is predicted from at least that much.

Every text has its own random numbers, and its tokens depend on nothing else that is written beside it (but for rounding, which
may differ with the number of rows). Where one ends, the next that waits takes its row.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stages.lm.inference.loading import Trained
from stages.lm.inference.sampling import sample
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.stopping import Stop, StopReason

NONE = torch.empty(0, 0, dtype=torch.long)
"""No tokens of any text; made once, as a token is soon written."""


class Request(NamedTuple):
    """A text to write."""

    prompt: Sequence[int]
    """Ids; may be empty."""
    generator: torch.Generator
    """Its random numbers."""


class Token(NamedTuple):
    """What was just written."""

    text: int
    """Of which request, counted from 0."""
    id: int
    log_prob: float | None
    """ln p of the model, where the settings ask for it."""
    stop_reason: StopReason | None
    """Why the text ends here, if it does."""


@dataclass
class Completion:
    """What a model wrote after a prompt, without what ends it, and why it stopped."""

    tokens: list[int] = field(default_factory=list)
    rest: bytes = b""
    """What follows them in the text: the beginning of a token in which a piece of text begins that ends it."""
    stop_reason: StopReason = "max tokens"
    log_probs: list[float] = field(default_factory=list)
    """ln p of each token, and of a token that by itself ended the text; empty where the settings do not ask for it."""


class Text:
    """A text on its way: all its ids, from the boundary on, and how many of the last ones its row of the state has read."""

    def __init__(self, number: int, ids: list[int], generator: torch.Generator) -> None:
        self.number, self.ids, self.generator = number, ids, generator
        self.begin, self.read = len(ids), 0
        self._counts: Tensor | None = None

    def copy(self) -> "Text":
        """One that goes on by itself, with the same random numbers to draw from."""
        copied = Text(self.number, list(self.ids), self.generator)
        copied.begin, copied.read = self.begin, self.read
        copied._counts = None if self._counts is None else self._counts.clone()
        return copied

    @property
    def written(self) -> list[int]:
        """The ids after the prompt."""
        return self.ids[self.begin :]

    def append(self, token: int) -> None:
        self.ids.append(token)
        if self._counts is not None:
            self._counts[token] += 1

    def recent(self, window: int, none: int) -> list[int]:
        """Its last `window` ids; the boundary is no text, and `none` stands for what is missing."""
        recent = self.ids[max(1, len(self.ids) - window) :]
        return [none] * (window - len(recent)) + recent

    def counts(self, vocab_size: int) -> Tensor:
        """How often each token was written: (vocab)."""
        if self._counts is None:
            self._counts = torch.bincount(torch.tensor(self.written, dtype=torch.long), minlength=vocab_size).float()
        return self._counts


def sample_generator(seed: int, prompt: int, number: int) -> torch.Generator:
    """The random numbers of one sample: a stream of its own, whatever else is generated beside it."""
    key = hashlib.sha256(f"{seed}:{prompt}:{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))


def generate(
    trained: Trained, requests: Sequence[Request], settings: DecodingSettings, stop: Stop, at_once: int | None = None
) -> list[Completion]:
    """The whole texts, see `stream`."""
    return collected(stream(trained, requests, settings, stop, at_once), len(requests), stop)


@torch.inference_mode()
def stream(
    trained: Trained, requests: Sequence[Request], settings: DecodingSettings, stop: Stop, at_once: int | None = None
) -> Iterator[Token]:
    """Continue every prompt until `stop` or `max_tokens`, `at_once` texts at a time (all by default): tokens as they come."""
    waiting = deque(Text(n, [trained.end_of_text, *prompt], generator) for n, (prompt, generator) in enumerate(requests))
    first = [waiting.popleft() for _ in range(min(at_once or len(waiting), len(waiting)))]
    batch = Batch(trained, first, keeps_rows=settings.compile)
    while batch.is_busy:
        for text, (token, log_prob) in zip(batch.here, choose(batch.here, batch.scores_here(), settings), strict=True):
            text.append(token)
            reason = stop.reason(text.written) or ("max tokens" if len(text.written) == settings.max_tokens else None)
            yield Token(text.number, token, log_prob, reason)
            if reason:
                batch.replace(text, waiting.popleft() if waiting else None)
        batch.advance()


def choose(texts: Sequence[Text], scores: Tensor, settings: DecodingSettings) -> list[tuple[int, float | None]]:
    """The next token of each text by its scores (texts, vocab), and its ln p where the settings ask for it."""
    scores = scores.cpu()
    recent, counts = penalised_in(texts, scores.shape[-1], settings)
    tokens = sample(scores, recent, settings, [text.generator for text in texts], counts)
    log_probs = scores.gather(-1, tokens[:, None])[:, 0].tolist() if settings.log_probs else [None] * len(texts)
    return list(zip(map(int, tokens), log_probs, strict=True))  # by one, as a rehearsal without numbers sees it too


def penalised_in(texts: Sequence[Text], vocab: int, settings: DecodingSettings) -> tuple[Tensor, Tensor | None]:
    """What penalties look at: the last tokens of each text (texts, window), and how often it has each token (texts, vocab).

    Nothing and None where the settings do not ask for them.
    """
    recent = NONE
    if settings.repetition_penalty != 1.0:
        recent = torch.tensor([text.recent(settings.repetition_window, vocab) for text in texts], dtype=torch.long)
    return recent, torch.stack([text.counts(vocab) for text in texts]) if settings.counts_tokens else None


def collected(tokens: Iterable[Token], count: int, stop: Stop) -> list[Completion]:
    """The completions of `count` texts from their tokens, which end as `stop` says."""
    texts = [Completion() for _ in range(count)]
    for token in tokens:
        text = texts[token.text]
        text.stop_reason = token.stop_reason or text.stop_reason
        if token.stop_reason not in ("end of text", "stop id"):
            text.tokens.append(token.id)
        if token.log_prob is not None:
            text.log_probs.append(token.log_prob)
        if token.stop_reason == "stop text":
            text.tokens, text.rest = stop.before(text.tokens)
            del text.log_probs[len(text.tokens) :]
    return texts


class Batch:
    """Texts in rows of one state of the model, and the scores of what comes next in each."""

    def __init__(self, trained: Trained, texts: Sequence[Text], keeps_rows: bool = False) -> None:
        """`keeps_rows`: free rows are computed too, for code that is compiled for their number."""
        self.model, self.device, self.keeps_rows = trained.model, trained.device, keeps_rows
        self.rows: list[Text | None] = list(texts)
        """None where a row is free."""
        self.state: Any = None
        self.scores: Tensor = torch.empty(0)
        """ln p of what comes next: (rows, vocab)."""
        self.advance()

    @property
    def here(self) -> list[Text]:
        """The texts, in the order of their rows."""
        return [text for text in self.rows if text is not None]

    @property
    def is_busy(self) -> bool:
        return any(self.rows)

    def scores_here(self) -> Tensor:
        """The scores of the texts: (texts, vocab)."""
        taken = [row for row, text in enumerate(self.rows) if text is not None]
        return self.scores if len(taken) == len(self.rows) else self.scores[taken]

    def replace(self, text: Text, new: Text | None) -> None:
        """Give the row of a text to another one, or free it."""
        self.rows[self.rows.index(text)] = new

    def advance(self) -> None:
        """Read the last token of every text; of those that are new or have filled their context, all that they begin with."""
        context, here = self.model.context_length, self.here
        begin = {text: _length(text, context) for text in here if text.read in (0, context)}
        if len(begin) < len(here):
            self._drop_free_rows(here)
            self.scores = self.model.advance(self.state, self._tensor([[text.ids[-1] if text else 0] for text in self.rows]))
            for text in here:
                text.read += text not in begin
        by_length = sorted(begin, key=lambda text: begin[text])
        for length, texts in groupby(by_length, key=lambda text: begin[text]):
            self._begin(list(texts), length)

    def _begin(self, texts: list[Text], length: int) -> None:
        """Read the last `length` tokens of texts from the beginning: into their rows, or a new state if there are no others."""
        state = self.model.start(len(texts))
        scores = self.model.advance(state, self._tensor([text.ids[-length:] for text in texts]))
        for text in texts:
            text.read = length
        if len(texts) == (len(self.rows) if self.keeps_rows else len(self.here)):
            self.rows, self.state, self.scores = list(texts), state, scores
            return
        if self.state is None:
            self.state, self.scores = self.model.start(len(self.rows)), scores.new_zeros(len(self.rows), scores.shape[-1])
        rows = self._tensor([self.rows.index(text) for text in texts])
        self.state.put(rows, state)
        self.scores[rows] = scores

    def _drop_free_rows(self, here: list[Text]) -> None:
        """Once half of the rows are free: then no text waits, and the others need not be computed with them."""
        if 2 * len(here) <= len(self.rows) and not self.keeps_rows:
            self.state.reorder(self._tensor([row for row, text in enumerate(self.rows) if text is not None]))
            self.rows = list(here)

    def _tensor(self, ids: list[Any]) -> Tensor:
        return torch.tensor(ids, device=self.device)


def _length(text: Text, context: int | None) -> int:
    """How many of the last tokens of a text the model is to read, which has read none of it or as many as it can see."""
    if text.read:
        return max(1, text.read // 2)
    return len(text.ids) if context is None else min(len(text.ids), context)
