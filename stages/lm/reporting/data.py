"""Statistics of the corpora and tokenizers behind the experiments, each described once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stages.lm.artifacts import title
from stages.lm.corpus import store
from stages.lm.reporting import figures
from stages.lm.reporting.cells import MISSING, Cell, count, percent, size
from stages.lm.reporting.experiments import Experiment, distinct
from stages.lm.tokenizers.files import read_tokenizer
from stages.lm.tokenizers.statistics import longest_tokens
from stages.lm.tokens import TokenArray, open_split

EXAMPLE_CHARACTERS = 1200
LONGEST = 24


@dataclass(frozen=True)
class Corpus:
    """A corpus: its splits, what cleaning did, how long documents are, and one of them."""

    name: Cell
    entropy: Cell | None
    splits: list[dict[str, Cell]]
    steps: list[dict[str, Cell]]
    lengths: str | None
    example: str
    example_is_cut: bool


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer: its size, how far it compresses each split, and its tokens."""

    name: Cell
    kind: str
    vocab_size: Cell
    splits: list[dict[str, Cell]]
    longest: list[str]
    lengths: str | None


def corpora(experiments: Iterable[Experiment]) -> list[Corpus]:
    """One description for each corpus."""
    return [_corpus(experiment, number) for number, experiment in enumerate(distinct(experiments, "corpus"))]


def tokenizers(experiments: Iterable[Experiment]) -> list[Tokenizer]:
    """One description for each tokenizer, with the token arrays of its first experiment."""
    return [_tokenizer(experiment, number) for number, experiment in enumerate(distinct(experiments, "bpe"))]


def _corpus(experiment: Experiment, number: int) -> Corpus:
    artifact = experiment.parts["corpus"]
    stats = artifact.json("stats.json")

    def cell(text: str) -> Cell:
        return experiment.cell("corpus", text)

    splits = [
        {
            "split": Cell(split),
            "documents": cell(count(values["documents"])),
            "bytes": cell(size(values["bytes"])),
            "characters": cell(count(values["characters"])),
            "bytes a document": cell(count(values["bytes"] / values["documents"]) if values["documents"] else MISSING),
        }
        for split, values in stats["splits"].items()
    ]
    steps = [
        {
            "step": Cell(step["step"]),
            "documents after it": cell(count(step["documents"])),
            "bytes after it": cell(size(step["bytes"])),
            "documents removed": cell(count(step["removed"])),
        }
        for step in stats["steps"]
    ]
    entropy = stats["entropy"] and cell(f"{stats['entropy']['bits_per_byte']:.4f}")
    text = next((text for split in store.SPLITS for text in store.documents(artifact.path, split)), "")
    lengths = _document_lengths(experiment, number)
    cut = len(text) > EXAMPLE_CHARACTERS
    example = text[:EXAMPLE_CHARACTERS].rsplit(" ", 1)[0] if cut else text
    return Corpus(cell(title(artifact.id)), entropy, splits, steps, lengths, example, cut)


def _document_lengths(experiment: Experiment, number: int) -> str | None:
    if "tokenize" not in experiment.parts:
        return None
    train = open_split(experiment.parts["tokenize"].path, "train")
    lengths = train.document_bytes if isinstance(train, TokenArray) else train.source.document_bytes + train.target.document_bytes
    if len(lengths) == 0:
        return None
    return figures.histogram(np.asarray(lengths), f"documents-{number}", "bytes in a training document")


def _tokenizer(experiment: Experiment, number: int) -> Tokenizer:
    artifact = experiment.parts["bpe"]
    stats, tokenizer = artifact.json("stats.json"), read_tokenizer(artifact.path)
    tokens = longest_tokens(tokenizer, len(tokenizer.vocab))
    lengths = np.array([len(token) for token in tokens], np.int64)
    splits = [
        {
            "split": Cell(split),
            "tokens": experiment.cell("tokenize", count(values["tokens"])),
            "documents": experiment.cell("tokenize", count(values["documents"])),
            "bytes a token": experiment.cell(
                "tokenize", f"{values['bytes_per_token']:.3f}" if values["bytes_per_token"] else None
            ),
            "unknown": experiment.cell(
                "tokenize",
                MISSING if values.get("unknown") is None else percent(100 * values["unknown"] / max(values["tokens"], 1)),
            ),
        }
        for split, values in (experiment.value("tokenize", "stats.json", "splits") or {}).items()
    ]
    if tokenizer.unknown is None:
        splits = [{column: cell for column, cell in row.items() if column != "unknown"} for row in splits]
    return Tokenizer(
        experiment.cell("bpe", title(artifact.id)),
        stats["kind"],
        experiment.cell("bpe", count(tokenizer.vocab_size)),
        splits,
        [token.decode("utf-8", "backslashreplace") for token in tokens[:LONGEST]],
        figures.histogram(lengths, f"tokens-{number}", "bytes in a token of the vocabulary") if len(lengths) else None,
    )
