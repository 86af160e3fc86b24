"""Losses by how much a model had read: does it make use of a long context, and from where on does more of it help no more?

Losses fall with the position as far as a model draws on what it has read (Kaplan et al. 2020, appendix D.5). Positions are put
together in octaves, since every token read matters less than those before it.
"""

from typing import Any

import numpy as np

from stages.lm.evaluation.bootstrap import ratios
from stages.lm.evaluation.losses import PositionLosses
from stages.lm.evaluation.settings import SplitSettings


def by_position(losses: PositionLosses, settings: SplitSettings) -> list[dict[str, Any]]:
    """For each octave of tokens read, `from` one number `to` another: the predictions, and nats per token with an interval."""
    found = np.flatnonzero(losses.tokens.sum(axis=0))
    tokens = losses.tokens[:, found].astype(np.float64)
    intervals = ratios(losses.nats[:, found], tokens, settings)
    return [
        {
            "from": 2 ** (octave - 1) + 1 if octave else 1,
            "to": 2**octave,
            "tokens": int(losses.tokens[:, octave].sum()),
            "nats_per_token": interval,
        }
        for octave, interval in zip(found.tolist(), intervals, strict=True)
    ]
