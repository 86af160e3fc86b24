"""Which words of the source a translator looks at while it writes each word: Bahdanau et al. 2015, section 5.2.1."""

from collections.abc import Sequence
from typing import Any

import torch

from stages.lm.bpe.interface import TextTokenizer
from stages.lm.inference.loading import Trained
from stages.lm.inference.search import Translation
from stages.lm.models.seq2seq.recurrent import RnnSeq2Seq

SHOWN = 3
"""How many sentences have their attention written down."""


def alignments(
    trained: Trained, texts: TextTokenizer, sources: Sequence[Sequence[int]], found: Sequence[Translation]
) -> list[dict[str, Any]]:
    """For the first sentences: the tokens read, the tokens written, and a row of weights for each of these.

    Empty for models that have no single attention to show.
    """
    if not isinstance(trained.model, RnnSeq2Seq):
        return []
    shown = []
    for source, translation in list(zip(sources, found, strict=True))[:SHOWN]:
        written = [trained.end_of_text, *translation.tokens]
        weights = trained.model.alignment(
            torch.tensor([list(source)], device=trained.device),
            torch.tensor([len(source)], device=trained.device),
            torch.tensor([written], device=trained.device),
        )[0]
        end = [trained.end_of_text] if translation.ended else []
        rows = weights[: len(translation.tokens) + len(end)].tolist()
        shown.append(
            {
                "source": [texts.decode([token]) for token in source],
                "target": [texts.decode([token]) for token in (*translation.tokens, *end)],
                "weights": [[round(weight, 4) for weight in row] for row in rows],
            }
        )
    return shown
