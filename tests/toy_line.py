"""Small artifacts from corpus to trained models, made by the stages themselves."""

from dataclasses import dataclass
from pathlib import Path

from tests.stage_runs import run

TRANSFORMER = {"family": "transformer", "layers": 1, "heads": 2, "d_model": 32, "context_length": 32}


@dataclass(frozen=True)
class Line:
    """The folders of the artifacts."""

    corpus: Path
    tokenizer: Path
    tokens: Path
    trigram: Path
    transformer: Path


def make(folder: Path) -> Line:
    """A corpus whose entropy is known, a tokenizer, tokens, and two models, one of them hardly trained."""
    line = Line(*(folder / name for name in ("corpus", "bpe", "tokens", "trigram", "transformer")))
    run("corpus", {"source": "grammar", "documents": 300, "splits": {"valid": 0.1, "test": 0.2}}, line.corpus)
    run("bpe", {"vocab_size": 320}, line.tokenizer, corpus=line.corpus)
    run("tokenize", {}, line.tokens, corpus=line.corpus, tokenizer=line.tokenizer)
    run("train", {"model": {"family": "ngram"}, "training": {}}, line.trigram, tokens=line.tokens)
    training = {"steps": 4, "batch_size": 4, "validation_windows": 2}
    state = folder / "state"
    run("train", {"model": TRANSFORMER, "training": training}, line.transformer, tokens=line.tokens, state=state)
    return line
