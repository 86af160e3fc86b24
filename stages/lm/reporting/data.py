"""Statistics of the corpora and tokenizers behind the experiments, each described once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stages.lm.bpe.files import load_tokenizer
from stages.lm.corpus import store
from stages.lm.reporting import figures
from stages.lm.reporting.cells import MISSING, Cell, count, size
from stages.lm.reporting.experiments import Experiment, distinct, title
from stages.lm.tokens import TokenArray

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
    vocab_size: Cell
    splits: list[dict[str, Cell]]
    longest: list[str]
    lengths: str


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
    lengths = TokenArray.open(experiment.parts["tokenize"].path, "train").document_bytes
    if len(lengths) == 0:
        return None
    return figures.histogram(np.asarray(lengths), f"documents-{number}", "bytes in a training document")


def _tokenizer(experiment: Experiment, number: int) -> Tokenizer:
    artifact = experiment.parts["bpe"]
    vocab = load_tokenizer(artifact.path).vocab
    special = {token.encode() for token in artifact.json("stats.json")["special_tokens"]}
    tokens = sorted((token for token in vocab.values() if token not in special), key=lambda token: (-len(token), token))
    splits = [
        {
            "split": Cell(split),
            "tokens": experiment.cell("tokenize", count(values["tokens"])),
            "documents": experiment.cell("tokenize", count(values["documents"])),
            "bytes a token": experiment.cell(
                "tokenize", f"{values['bytes_per_token']:.3f}" if values["bytes_per_token"] else None
            ),
        }
        for split, values in (experiment.value("tokenize", "stats.json", "splits") or {}).items()
    ]
    return Tokenizer(
        experiment.cell("bpe", title(artifact.id)),
        experiment.cell("bpe", count(len(vocab))),
        splits,
        [token.decode("utf-8", "backslashreplace") for token in tokens[:LONGEST]],
        figures.histogram(np.array([len(token) for token in tokens]), f"tokens-{number}", "bytes in a token of the vocabulary"),
    )
