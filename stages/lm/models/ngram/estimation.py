"""From a stream of tokens to back-off tables: count, then smooth."""

import os

from stages.lm.models.ngram.backoff import Table
from stages.lm.models.ngram.counts import Level, Tokens, check, count
from stages.lm.models.ngram.kneser_ney import Tally, kneser_ney, tally
from stages.lm.models.ngram.smoothing import add_k, maximum_likelihood, stupid_backoff
from stages.lm.models.ngram.workspace import IN_MEMORY, Workspace
from stages.lm.models.settings import NgramSettings

COMPILED_FROM = 200_000
"""Tokens from which the compiled functions pay; fewer are counted before they would be loaded."""
BYTES_PER_NGRAM = 32
"""What an n-gram takes while it is worked on, with its share of the arrays by position."""


def estimate(ids: Tokens, vocab_size: int, settings: NgramSettings, memory: int | None = None) -> list[Table]:
    """The tables of a stream of documents, each of which ends with the boundary token.

    `memory` bounds the bytes that the work takes beside the libraries, by default half of the machine's; what is larger lies in
    temporary files that are mapped into memory. The result does not depend on it.
    Raises UserError if there are no tokens, too many, or ids beyond the vocabulary.
    """
    check(ids, vocab_size)
    boundary = int(ids[-1])
    if len(ids) < COMPILED_FROM:
        return smooth(count(ids, settings.order, vocab_size), boundary, settings)
    from stages.lm.models.ngram.compiled.counting import Counter

    memory = memory or physical_memory() // 2
    counter = Counter(Workspace(BYTES_PER_NGRAM * settings.order * len(ids) > memory), memory)
    return smooth(counter.count(ids, settings.order, vocab_size), boundary, settings, counter.workspace, counter.tally)


def physical_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def smooth(
    levels: list[Level],
    boundary: int,
    settings: NgramSettings,
    workspace: Workspace = IN_MEMORY,
    tally: Tally = tally,
) -> list[Table]:
    """The tables of counted n-grams, whose arrays may be given up on the way."""
    match settings.smoothing:
        case "kneser-ney":
            return kneser_ney(levels, boundary, workspace, tally)
        case "add-k":
            return add_k(levels, settings.k, boundary, workspace)
        case "stupid-backoff":
            return stupid_backoff(levels, settings.backoff, workspace)
        case "mle":
            return maximum_likelihood(levels, workspace)
