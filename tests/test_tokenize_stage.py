"""The stage tokenize as it is run."""

from pathlib import Path

from stages.lm import artifacts
from stages.lm.bpe.files import load_tokenizer
from stages.lm.tokens import PairArray, TokenArray
from tests import sentences
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
    empty = {"tokens": 0, "documents": 0, "bytes": 0, "bytes_per_token": None, "unknown": None, "spelled": None}
    assert stats["splits"]["test"] == empty


def test_bad_input(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, train=["text"])
    assert "another" not in run("tokenize", {}, tmp_path / "out", corpus=corpus, tokenizer=tmp_path / "absent", code=2)
    assert "'corpus', but 'bpe' is needed" in run("tokenize", {}, tmp_path / "out", corpus=corpus, tokenizer=corpus, code=2)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_parallel_corpus_becomes_arrays_of_both_sides(tmp_path: Path) -> None:
    corpus, bpe, out = tmp_path / "corpus", tmp_path / "bpe", tmp_path / "tokens"
    files = sentences.write(tmp_path, train=40, valid=5)
    run("corpus", {"source": "parallel", "files": files, "deduplicate": False}, corpus)
    run("bpe", {"vocab_size": 300}, bpe, corpus=corpus)
    run("tokenize", {}, out, corpus=corpus, tokenizer=bpe)
    tokenizer = load_tokenizer(bpe)
    assert {b"der", b"the"} <= set(tokenizer.vocab.values())  # words of both sides were learned
    valid = PairArray.open(out, "valid")
    expected = [[[*tokenizer.encode(text), 256] for text in sentences.pair(number)] for number in range(40, 45)]
    found = [[valid.source.document(i).tolist(), valid.target.document(i).tolist()] for i in range(len(valid))]
    assert found == expected
    counts = artifacts.read(out, "tokenize").json("stats.json")["splits"]["valid"]
    assert counts["tokens"] == sum(len(side) for pair in expected for side in pair)
    assert (counts["documents"], counts["target"]["tokens"]) == (5, sum(len(pair[1]) for pair in expected))
    assert not (out / "valid.npy").exists()
