"""Speculative sampling (Leviathan et al. 2023, algorithm 1; Chen et al. 2023): a cheap model drafts some tokens, and the model
reads them all in one pass and takes those that it might have written.

A drafted token x is taken with probability min(1, p(x) / q(x)), p and q being what the model and the draft would draw it with by
the same settings. The first one that is not taken is replaced by a draw from max(0, p - q), normalised; after a draft that is
taken whole comes one token more, from p. So every token has the distribution p, whatever the draft says (Leviathan et al.,
appendix A.1): a draft changes the speed and the random numbers, and not what is drawn from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.lm.errors import UserError
from stages.lm.inference.generation import Request, Text, Token, penalised_in
from stages.lm.inference.loading import Trained
from stages.lm.inference.reading import Reader, reader
from stages.lm.inference.sampling import draw_by, shaped
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
    while True:
        left, room = settings.max_tokens - len(text.written), model.room(text.ids)
        count = min(settings.draft_tokens, left - 1, left if room is None else room)
        drafted, chances = propose(draft, text, settings, count)
        scores = model.after([*text.ids, *drafted], count + 1).cpu()  # (count + 1, vocab)
        p = chances_after(text, drafted, scores, settings)
        tally.passes, tally.drafted = tally.passes + 1, tally.drafted + count
        for place in range(count + 1):
            if place == count:
                token, is_taken = _drawn(p[place], text), False
            else:
                token, is_taken = judge(drafted[place], p[place], chances[place], text)
            tally.taken += is_taken
            text.append(token)
            reason = stop.reason(text.written) or ("max tokens" if len(text.written) == settings.max_tokens else None)
            yield Token(text.number, token, scores[place, token].item() if settings.log_probs else None, reason)
            if reason:
                return
            if not is_taken:
                break


def propose(draft: Reader, text: Text, settings: DecodingSettings, count: int) -> tuple[list[int], list[Tensor]]:
    """`count` tokens that the draft would write, and the probabilities (vocab) that each was drawn from."""
    ahead, chances = text.copy(), []
    for _ in range(count):
        chances.append(chances_after(ahead, [], draft.after(ahead.ids, 1).cpu(), settings)[0])
        ahead.append(_drawn(chances[-1], ahead))
    return ahead.ids[len(text.ids) :], chances


def judge(drafted: int, p: Tensor, q: Tensor, text: Text) -> tuple[int, bool]:
    """The drafted token if it is taken, else another one, and whether it is: p and q are (vocab)."""
    uniform = torch.rand((), generator=text.generator, dtype=torch.float64)
    if uniform * q[drafted] < p[drafted]:
        return drafted, True
    return _drawn((p - q).clamp(min=0), text), False


def chances_after(text: Text, drafted: Sequence[int], scores: Tensor, settings: DecodingSettings) -> Tensor:
    """With what probability each token is drawn next by the settings: after the text, and after each of what is drafted.

    (1 + drafted, vocab), from scores of this shape.
    """
    texts = [text]
    for token in drafted:
        texts.append(texts[-1].copy())
        texts[-1].append(token)
    recent, counts = penalised_in(texts, scores.shape[-1], settings)
    return shaped(scores, recent, settings, counts).exp()


def _drawn(chances: Tensor, text: Text) -> int:
    return int(draw_by(chances[None], [text.generator]))
