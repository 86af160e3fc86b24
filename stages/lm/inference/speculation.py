"""Speculative sampling (Leviathan et al. 2023, algorithm 1; Chen et al. 2023): a cheap model drafts some tokens, and the model
reads them all in one pass and takes those that it might have written.

A drafted token x is taken with probability min(1, p(x) / q(x)), p and q being what the model and the draft would draw it with by
the same settings. The first one that is not taken is replaced by a draw from max(0, p - q), normalised; after a draft that is
taken whole comes one token more, from p. So every token has the distribution p, whatever the draft says (Leviathan et al.,
appendix A.1): a draft changes the speed and the random numbers, and not what is drawn from.

What the text has had before is drafted first, where q is 1, and what the draft would write where that is new. A draft ends early,
before a token is drawn, where the one that drafts has no likely one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.inference.generation import Request, Text, Token, penalised_in
from stages.lm.inference.loading import Trained
from stages.lm.inference.reading import Reader, reader
from stages.lm.inference.repeats import Repeats
from stages.lm.inference.sampling import draw_by, penalised, shaped
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.stopping import Stop


@dataclass
class Tally:
    """What came of the drafts."""

    drafted: int = 0
    taken: int = 0
    passes: int = 0
    """Of the model; each gives the tokens that are taken and one more."""

    def summary(self) -> dict[str, float]:
        """The counts, the share of the drafted tokens that were taken, and tokens per pass."""
        share, passes = self.taken / max(1, self.drafted), max(1, self.passes)
        return {**vars(self), "acceptance": round(share, 4), "tokens_per_pass": round(1 + self.taken / passes, 4)}


def check(trained: Trained, draft: Trained) -> None:
    """Raise UserError for models that cannot be a pair."""
    for which, one in (("the model", trained), ("the one that drafts", draft)):
        try:
            reader(one)
        except UserError as error:
            raise UserError(f"draft: {which} {error}") from None


@torch.inference_mode()
def speculate(
    trained: Trained, draft: Trained, requests: Sequence[Request], settings: DecodingSettings, stop: Stop, tally: Tally
) -> Iterator[Token]:
    """As `generation.stream`, one text after the other, with a draft; see `check`."""
    for number, (prompt, generator) in enumerate(requests):
        text = Text(number, [trained.end_of_text, *prompt], generator)
        yield from speculate_text(reader(trained), reader(draft), text, settings, stop, tally)


def speculate_text(
    model: Reader, draft: Reader, text: Text, settings: DecodingSettings, stop: Stop, tally: Tally
) -> Iterator[Token]:
    """The tokens of one text."""
    repeats = Repeats()
    while True:
        left, room = settings.max_tokens - len(text.written), model.room(text.ids)
        count = min(settings.draft_tokens, left - 1, left if room is None else room)
        if settings.draft_repeats:
            repeats.read(text.ids)
        drafted, chances = propose(draft, repeats, text, settings, count)
        scores = model.after([*text.ids, *drafted], len(drafted) + 1).cpu()  # (drafted + 1, vocab)
        tally.passes, tally.drafted = tally.passes + 1, tally.drafted + len(drafted)
        for place, (token, is_taken) in enumerate(judged(text, drafted, chances, scores, settings)):
            tally.taken += is_taken
            text.append(token)
            reason = stop.reason(text.written) or ("max tokens" if len(text.written) == settings.max_tokens else None)
            yield Token(text.number, token, scores[place, token].item() if settings.log_probs else None, reason)
            if reason:
                return
            if not is_taken:
                break


def propose(
    draft: Reader, repeats: Repeats, text: Text, settings: DecodingSettings, most: int
) -> tuple[list[int], list[Tensor | None]]:
    """At most `most` tokens to go on with, and the probabilities (vocab) that each was drawn from; None where it was certain."""
    ahead, chances = text.copy(), list[Tensor | None]()
    while len(chances) < most:
        again = repeats.after(ahead.ids)
        if again is None:
            scores = draft.after(ahead.ids, 1).cpu()
            if scores.max().exp() < settings.draft_confidence:
                break
            token, q = drawn_after(ahead, scores, settings)
        else:
            token, q = again, None
        chances.append(q)
        ahead.append(token)
    return ahead.ids[len(text.ids) :], chances


def drawn_after(text: Text, scores: Tensor, settings: DecodingSettings) -> tuple[int, Tensor | None]:
    """A token after the text, by scores (1, vocab), and the probabilities that it was drawn from; None where it was certain."""
    if settings.temperature == 0.0:
        return _best_after(text, [], scores, settings)[0], None
    q = chances_after(text, [], scores, settings)[0]
    return _drawn(q, text), q


def judged(
    text: Text, drafted: list[int], chances: list[Tensor | None], scores: Tensor, settings: DecodingSettings
) -> Iterator[tuple[int, bool]]:
    """The tokens that follow, by scores (drafted + 1, vocab), and whether each is the drafted one.

    Lazily: after the first that is not, the scores are those of another text, and nobody may ask further.
    """
    if settings.temperature == 0.0:
        for token, one in zip_longest(_best_after(text, drafted, scores, settings), drafted):
            yield token, token == one
        return
    p = chances_after(text, drafted, scores, settings)
    for place, (one, q) in enumerate(zip(drafted, chances, strict=True)):
        yield judge(one, p[place], q, text)
    yield _drawn(p[-1], text), False


def judge(drafted: int, p: Tensor, q: Tensor | None, text: Text) -> tuple[int, bool]:
    """The drafted token if it is taken, else another one, and whether it is: p and q are (vocab), None for a q of 1."""
    uniform = torch.rand((), generator=text.generator, dtype=torch.float64)
    if uniform * (1.0 if q is None else q[drafted]) < p[drafted]:
        return drafted, True
    left = p.scatter(0, torch.tensor(drafted), 0.0) if q is None else (p - q).clamp(min=0)
    return _drawn(left, text), False


def chances_after(text: Text, drafted: Sequence[int], scores: Tensor, settings: DecodingSettings) -> Tensor:
    """With what probability each token is drawn next by the settings: after the text, and after each of what is drafted.

    (1 + drafted, vocab), from scores of this shape.
    """
    recent, counts = _penalised_after(text, drafted, scores, settings)
    return shaped(scores, recent, settings, counts).exp()


def _best_after(text: Text, drafted: Sequence[int], scores: Tensor, settings: DecodingSettings) -> list[int]:
    """The tokens that temperature 0 takes, likewise."""
    recent, counts = _penalised_after(text, drafted, scores, settings)
    return penalised(scores, recent, counts, settings).argmax(dim=-1).tolist()


def _penalised_after(
    text: Text, drafted: Sequence[int], scores: Tensor, settings: DecodingSettings
) -> tuple[Tensor, Tensor | None]:
    """As `generation.penalised_in`, for the text and what it becomes with each of the drafted tokens."""
    texts = [text]
    for token in drafted:
        texts.append(texts[-1].copy())
        texts[-1].append(token)
    return penalised_in(texts, scores.shape[-1], settings)


def _drawn(chances: Tensor, text: Text) -> int:
    return int(draw_by(chances[None], [text.generator]))
