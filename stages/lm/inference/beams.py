"""The most probable text after a prompt that beam search finds: `search.follow`, with beams in the rows of a batch of texts."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from stages.lm.inference.generation import Batch, Request, Text, Token
from stages.lm.inference.loading import Trained
from stages.lm.inference.search import follow
from stages.lm.inference.settings import DecodingSettings


@torch.inference_mode()
def search(trained: Trained, requests: Sequence[Request], settings: DecodingSettings) -> Iterator[Token]:
    """As `generation.stream`, one text after the other; the tokens of each come once it is found."""
    end, limits = trained.end_of_text, torch.tensor([settings.max_tokens], device=trained.device)
    for number, (prompt, generator) in enumerate(requests):
        beams = Beams(trained, [Text(number, [end, *prompt], generator)])
        [found] = follow(beams, beams.write, beams.scores, end, limits, settings.beams, settings.length_penalty)
        *tokens, last = [*found.tokens, end] if found.ended else found.tokens
        yield from (Token(number, token, None, None) for token in tokens)
        yield Token(number, last, None, "end of text" if found.ended else "max tokens")


class Beams(Batch):
    """Beginnings of one text; a full context goes on as in any batch, all of them at once."""

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] has written; rows may be repeated or left out."""
        texts = self.here
        self.rows = [texts[row].copy() for row in rows.tolist()]
        self.state.reorder(rows)

    def write(self, tokens: Tensor) -> Tensor:
        """Add a token (rows) to each text; ln p of what comes next: (rows, vocab)."""
        for text, token in zip(self.here, tokens.tolist(), strict=True):
            text.append(token)
        self.advance()
        return self.scores
