"""The stage bpe as it is run: artifact in, artifact out, exit code 2 and nothing written on bad input."""

import json
from pathlib import Path

import pytest

from stages.lm import artifacts
from stages.lm.bpe import reference
from stages.lm.bpe.counting import count_documents
from stages.lm.bpe.files import load_tokenizer
from tests.stage_runs import run, write_corpus

DOCUMENTS = [
    "low low low low low lower lower",
    "widest widest widest newest newest newest",
    "newest newest newest",
    "",
    "été\r\n",
]


def test_a_tokenizer_is_learned_from_the_train_split(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, train=DOCUMENTS, valid=["low widest"])
    out = tmp_path / "bpe"
    run("bpe", {"vocab_size": 270}, out, corpus=corpus)
    artifact = artifacts.read(out, "bpe")
    tokenizer = load_tokenizer(out)
    vocab, merges = reference.train(count_documents(DOCUMENTS, [], "gpt2"), 270, ["<|endoftext|>"])
    assert (tokenizer.vocab, tokenizer.merges) == (vocab, merges)
    stats = artifact.json("stats.json")
    assert (stats["vocab_size"], stats["merges"], stats["end_of_text"], stats["words"]) == (270, 13, 256, 18)
    assert stats["valid_bytes_per_token"] == 10 / len(tokenizer.encode("low widest"))
    assert {"vocab.json", "merges.txt", "tokenizer.json", "README.md"} <= artifact.manifest["outputs"].keys()
    assert json.loads((out / "vocab.json").read_text())["<|endoftext|>"] == 256


@pytest.mark.parametrize(
    ("settings", "train", "message"),
    [
        ({"vocab_size": 100}, ["text"], "choose 257 or more"),
        ({"vocab": 300}, ["text"], "did you mean 'vocab_size'"),
        ({"vocab_size": 300}, [], "no text to learn from"),
        ({"vocab_size": 300}, [""], "no text to learn from"),
    ],
)
def test_bad_input(tmp_path: Path, settings: dict[str, int], train: list[str], message: str) -> None:
    corpus = write_corpus(tmp_path, train=train)
    assert message in run("bpe", settings, tmp_path / "bpe", corpus=corpus, code=2)
    assert not (tmp_path / "bpe" / "manifest.json").exists()
