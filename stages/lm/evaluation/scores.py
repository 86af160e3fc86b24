"""From the losses of documents to bits per byte, perplexity, and the distance to the source.

    bits per byte   sum of bits / sum of UTF-8 bytes             one scale for every tokenizer
    perplexity      exp(sum of nats / sum of tokens)              comparable under one tokenizer only
    excess          bits of the model / bits of the source - 1    over the very same documents

A model that gives a token of a document no probability at all (maximum likelihood) has an infinite loss, and so has the sum.

The surprisal of a document under the source that wrote it is the least that any code can spend on it on average; the excess
is measured against it, document by document, and not against the entropy, of which a finite sample always misses a little.

The bits are nats / ln 2, and for a tokenizer with an unknown token those that spell what it hides as well: see
`tokenizers/spelling.py`. Perplexity counts the unknown token like any other.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.lm.evaluation.bootstrap import Difference, Interval, interval, paired, resampled_sums
from stages.lm.evaluation.settings import SplitSettings
from stages.lm.tokenizers.spelling import NATS_PER_LETTER


class Documents(NamedTuple):
    """What is known of each document of a split; every array is (documents,)."""

    nats: NDArray[np.float64]
    """The model's loss, end-of-text token included."""
    tokens: NDArray[np.int64]
    bytes: NDArray[np.int64]
    source_bits: NDArray[np.float64] | None
    """The exact surprisal under the source, where it is known."""
    spelled: NDArray[np.int64] | None = None
    """Letters that spell what unknown tokens hide, where the tokenizer has one."""

    @property
    def cost(self) -> NDArray[np.float64]:
        """Nats that give the document back: float64 (documents,)."""
        return self.nats if self.spelled is None else self.nats + NATS_PER_LETTER * self.spelled


def scores(documents: Documents, entropy_rate: float | None, settings: SplitSettings) -> dict[str, Any]:
    """The content of an evaluation's stats.json; `entropy_rate` is the source's exact entropy in bits per byte."""
    source_bits = np.zeros(len(documents.nats)) if documents.source_bits is None else documents.source_bits
    bits, cost = documents.nats / math.log(2), documents.cost / math.log(2)
    columns = np.stack([cost, documents.tokens, documents.bytes, source_bits, bits], axis=1)
    totals = columns.sum(axis=0)
    resampled = resampled_sums(columns, settings.bootstrap_samples, settings.seed)

    def measured(statistic: Any) -> Interval:
        return interval(statistic(totals.T), statistic(resampled.T), settings.confidence)

    stats: dict[str, Any] = {
        "split": settings.split,
        "documents": len(documents.nats),
        "tokens": int(documents.tokens.sum()),
        "bytes": int(documents.bytes.sum()),
        "confidence": settings.confidence,
        "nats_per_token": float(totals[4] * math.log(2) / totals[1]),
        "bits_per_byte": measured(lambda sums: sums[0] / sums[2]),
        "perplexity": measured(lambda sums: np.exp2(sums[4] / sums[1])),
        "spelled_bits_per_byte": None if documents.spelled is None else float((totals[0] - totals[4]) / totals[2]),
        "source": None,
    }
    if documents.source_bits is not None:
        stats["source"] = {
            "bits_per_byte": entropy_rate,
            "sample_bits_per_byte": float(totals[3] / totals[2]),
            "sample_nats_per_token": float(totals[3] * math.log(2) / totals[1]),
            "excess_bits_per_byte": measured(lambda sums: (sums[0] - sums[3]) / sums[2]),
            "excess_percent": measured(lambda sums: 100.0 * (sums[0] / sums[3] - 1.0)),
        }
    return stats


def difference(
    nats: NDArray[np.float64], others: NDArray[np.float64], lengths: NDArray[np.int64], settings: SplitSettings
) -> Difference:
    """How many bits per byte more one model spends than another on the same documents of `lengths` bytes, paired.

    Of two infinite losses none is the greater.
    """
    more = np.subtract(nats, others, out=np.zeros_like(nats), where=nats != others)
    return paired(more / math.log(2), lengths.astype(np.float64), settings)
