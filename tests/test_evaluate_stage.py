"""The stage evaluate as it is run."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from stages.lm import artifacts
from stages.lm.corpus.store import documents
from tests.stage_runs import run, write_corpus
from tests.toy_line import Line


def evaluate(line: Line, model: Path, out: Path, settings: dict[str, object] | None = None, **options: object) -> str:
    extra = {name: str(value) for name, value in options.items()}
    return run("evaluate", settings or {}, out, model=model, tokens=line.tokens, corpus=line.corpus, **extra)  # type: ignore[arg-type]


def test_every_document_is_measured_against_its_source(toy_line: Line, tmp_path: Path) -> None:
    said = evaluate(toy_line, toy_line.trigram, tmp_path / "out")
    artifact = artifacts.read(tmp_path / "out", "evaluate")
    stats = artifact.json("stats.json")
    texts = list(documents(toy_line.corpus, "test"))
    nats, lengths = np.load(tmp_path / "out" / "losses.npy"), np.load(tmp_path / "out" / "bytes.npy")
    assert lengths.tolist() == [len(text.encode()) for text in texts]
    assert (stats["documents"], stats["bytes"]) == (len(texts), lengths.sum())
    bits = stats["bits_per_byte"]
    assert bits["value"] == pytest.approx(nats.sum() / math.log(2) / lengths.sum())
    assert bits["low"] < bits["value"] < bits["high"]
    source = artifacts.read(toy_line.corpus, "corpus").json("stats.json")
    assert source["entropy"]["bits_per_byte"] == stats["source"]["bits_per_byte"]
    assert stats["source"]["sample_bits_per_byte"] == pytest.approx(
        source["splits"]["test"]["bits"] / source["splits"]["test"]["bytes"]
    )
    assert stats["source"]["excess_percent"]["low"] > 0  # a trigram model cannot know the grammar
    assert f"{bits['value']:.4f} bits per byte" in said


def test_results_do_not_depend_on_the_batches_and_are_the_same_bytes_again(toy_line: Line, tmp_path: Path) -> None:
    for name, options in (("a", {}), ("b", {}), ("c", {"batch-tokens": 100})):
        evaluate(toy_line, toy_line.transformer, tmp_path / name, {"bootstrap_samples": 100}, **options)
    whole, again, small = (tmp_path / name / "losses.npy" for name in "abc")
    assert whole.read_bytes() == again.read_bytes()
    assert (tmp_path / "a" / "stats.json").read_bytes() == (tmp_path / "b" / "stats.json").read_bytes()
    assert np.load(small) == pytest.approx(np.load(whole), rel=1e-6)


def test_tasks_are_answered_and_every_example_is_written_down(toy_line: Line, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("- {context: Once upon a, choices: [' time', ' lime'], answer: 0}\n")
    tasks = {
        "own": {"source": "file", "path": str(tmp_path / "own.yaml")},
        "agreement": {"source": "grammar", "about": "agreement", "examples": 30},
    }
    settings = {"tasks": tasks, "calibration": {"documents": 5}, "overlap": {"n": 5}}
    evaluate(toy_line, toy_line.trigram, tmp_path / "out", settings, tokenizer=toy_line.tokenizer)
    artifact = artifacts.read(tmp_path / "out", "evaluate")
    stats = artifact.json("stats.json")
    assert stats["tasks"]["own"]["accuracy"]["value"] == 1.0
    near, far = stats["tasks"]["agreement"]["levels"][0], stats["tasks"]["agreement"]["levels"][2]
    assert (near["level"], far["level"], far["chance"]) == ("next word", "two people", 0.5)
    assert near["accuracy"]["value"] > far["accuracy"]["value"], "a trigram sees the next word and no further"
    assert stats["task_files"] == {"own": artifacts.sha256(tmp_path / "own.yaml")}
    lines = [json.loads(line) for line in artifact.file("tasks.jsonl").read_text().splitlines()]
    assert sorted(line["task"] for line in lines) == ["agreement"] * 90 + ["own"]
    right = [line["right"] for line in lines if line["task"] == "agreement"]
    assert np.mean(right) == pytest.approx(stats["tasks"]["agreement"]["accuracy"]["value"])
    assert stats["calibration"]["documents"] == 5
    assert stats["overlap"]["n"] == 5
    assert sum(row["tokens"] for row in stats["positions"]) == stats["tokens"]


def test_a_bad_task_file_and_a_missing_tokenizer_are_refused(toy_line: Line, tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"good": "a", "bad": "b"}\n{"good": "a"}\n')
    settings = {"tasks": {"own": {"source": "file", "path": str(tmp_path / "own.jsonl")}}}
    inputs = {"model": toy_line.trigram, "tokens": toy_line.tokens, "corpus": toy_line.corpus}
    said = run("evaluate", settings, tmp_path / "out", code=2, **inputs)
    assert "own.jsonl, line 2: bad: this key is required" in said
    (tmp_path / "own.jsonl").write_text('{"good": "a", "bad": "b"}\n')
    assert "--tokenizer: is needed to read the tasks" in run("evaluate", settings, tmp_path / "out", code=2, **inputs)
    assert not (tmp_path / "out").exists()


def test_a_corpus_without_a_known_source_has_no_floor(toy_line: Line, tmp_path: Path) -> None:
    for split in ("train", "test"):
        text = f"A text for {split}.<|endoftext|>And another one for {split}."
        (tmp_path / f"{split}.txt").write_text(text, encoding="utf-8")
    paths = {split: [str(tmp_path / f"{split}.txt")] for split in ("train", "test")}
    corpus, tokens = tmp_path / "corpus", tmp_path / "tokens"
    run("corpus", {"source": "file", "paths": paths, "splits": {"valid": 0.0}}, corpus)
    run("tokenize", {}, tokens, corpus=corpus, tokenizer=toy_line.tokenizer)
    run("evaluate", {}, tmp_path / "out", model=toy_line.trigram, tokens=tokens, corpus=corpus)
    stats = artifacts.read(tmp_path / "out", "evaluate").json("stats.json")
    assert (stats["documents"], stats["source"]) == (2, None)


def test_artifacts_that_do_not_belong_together_are_refused(toy_line: Line, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, train=["some other text"], test=["some text"])
    inputs = {"model": toy_line.trigram, "tokens": toy_line.tokens}
    assert "is not the corpus that" in run("evaluate", {}, tmp_path / "out", corpus=corpus, code=2, **inputs)
    run("bpe", {"vocab_size": 258}, tmp_path / "bpe", corpus=corpus)
    run("tokenize", {}, tmp_path / "tokens", corpus=corpus, tokenizer=tmp_path / "bpe")
    inputs = {"model": toy_line.trigram, "tokens": tmp_path / "tokens"}
    assert "was trained with the tokenizer" in run("evaluate", {}, tmp_path / "out", corpus=corpus, code=2, **inputs)
    assert not (tmp_path / "out").exists()


def test_an_empty_split_is_refused(toy_line: Line, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, train=["some text"])
    run("tokenize", {}, tmp_path / "tokens", corpus=corpus, tokenizer=toy_line.tokenizer)
    inputs = {"model": toy_line.trigram, "tokens": tmp_path / "tokens", "corpus": corpus}
    assert "no documents to evaluate on" in run("evaluate", {}, tmp_path / "out", code=2, **inputs)
