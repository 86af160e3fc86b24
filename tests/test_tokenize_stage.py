"""The stage tokenize as it is run."""

from pathlib import Path

from stages.lm import artifacts
from stages.lm.bpe.files import load_tokenizer
from stages.lm.tokens import TokenArray
from tests.stage_runs import run, write_corpus


def test_every_split_becomes_arrays(tmp_path: Path) -> None:
    documents = ["the cat ate", "the theory", ""]
    corpus = write_corpus(tmp_path, train=documents, valid=["a cat"])
    bpe, out = tmp_path / "bpe", tmp_path / "tokens"
    run("bpe", {"vocab_size": 262}, bpe, corpus=corpus)
    run("tokenize", {}, out, corpus=corpus, tokenizer=bpe)
    artifact = artifacts.read(out, "tokenize")
    tokenizer = load_tokenizer(bpe)
    train = TokenArray.open(out, "train")
    assert [train.document(i).tolist() for i in range(3)] == [[*tokenizer.encode(text), 256] for text in documents]
    assert len(TokenArray.open(out, "test")) == 0
    stats = artifact.json("stats.json")
    assert stats["tokenizer"] == artifacts.read(bpe, "bpe").digest
    assert (stats["vocab_size"], stats["end_of_text"]) == (262, 256)
    assert stats["splits"]["valid"]["bytes"] == 5
    assert stats["splits"]["test"] == {"tokens": 0, "documents": 0, "bytes": 0, "bytes_per_token": None}


def test_bad_input(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, train=["text"])
    assert "another" not in run("tokenize", {}, tmp_path / "out", corpus=corpus, tokenizer=tmp_path / "absent", code=2)
    assert "'corpus', but 'bpe' is needed" in run("tokenize", {}, tmp_path / "out", corpus=corpus, tokenizer=corpus, code=2)
    assert not (tmp_path / "out" / "manifest.json").exists()
