"""Translations of any number of sentences, in batches of about the same length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stages.lm.corpus import store
from stages.lm.errors import UserError
from stages.lm.inference.loading import Trained
from stages.lm.inference.search import Translation, translate
from stages.lm.inference.settings import SearchSettings
from stages.lm.models.seq2seq.interface import Seq2Seq
from stages.lm.progress import progress
from stages.lm.training.pairs import padded

SENTENCES_PER_BATCH = 32


def by_length(lengths: NDArray[np.integer], batch_size: int = SENTENCES_PER_BATCH) -> list[NDArray[np.int64]]:
    """The indices of all sentences in batches of about the same length, the longest first."""
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def translate_all(
    trained: Trained, sentences: Sequence[Sequence[int] | NDArray[Any]], settings: SearchSettings
) -> list[Translation]:
    """The translation of each sentence: ids, the end-of-text id at its end. Raises UserError for one that is too long."""
    model = cast(Seq2Seq, trained.model)
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    for number in np.flatnonzero(lengths > model.context_length)[:1]:
        raise UserError(
            f"sentence {number + 1} has {lengths[number]} tokens, but the model reads at most {model.context_length}; "
            "shorten it, or train a model with a larger context_length"
        )
    found: dict[int, Translation] = {}
    with progress("translate", len(sentences), " sentences") as bar:
        for indices in by_length(lengths):
            source, source_lengths = padded([sentences[index] for index in indices], trained.end_of_text)
            batch = translate(model, source.to(trained.device), source_lengths.to(trained.device), trained.end_of_text, settings)
            found |= dict(zip(indices.tolist(), batch, strict=True))
            bar.update(len(indices))
    return [found[index] for index in range(len(sentences))]


def chosen_pairs(corpus: Path, split: str, count: int | None) -> list[tuple[str, str | None]]:
    """Sentences of a split and their references: all of them, or `count` evenly spread. Raises UserError where there is none."""
    sources, references = (list(store.documents(corpus, split, column)) for column in store.TEXT_COLUMNS)
    if not sources:
        raise UserError(f"{corpus}: its {split} split has no sentence pairs to translate; choose another with `split`")
    places = np.linspace(0, len(sources) - 1, min(count or len(sources), len(sources))).astype(np.int64)
    return [(sources[place], references[place]) for place in places]
