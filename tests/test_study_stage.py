"""The study stage as it is run."""

from pathlib import Path
from typing import Any

import pytest

from stages.lm import artifacts
from tests.stage_runs import run_listed
from tests.toy_line import Line

LSTM = {"family": "lstm", "layers": 1, "d_model": 8, "context_length": 8}
GRADIENTS = {"kind": "gradients", "distance": 8, "sequences": 2, "steps": 2}


def tokenizers(**study: Any) -> dict[str, Any]:
    sizes = {"sizes": [4096, 8192, 16384], "naive_bytes": 16384, "vocab_size": 280, "rounds": 1, "documents": 5}
    named = {"tokenizers": {"bpe": "bpe/bpe"}, "corpora": {"toy": "corpus/corpus"}}
    return {"study": {"kind": "tokenizers", **sizes, **study}, **named}


def test_a_study_of_gradients_is_the_same_every_time(tmp_path: Path, toy_line: Line) -> None:
    settings = {"study": GRADIENTS, "models": {"lstm": LSTM, "rnn": {**LSTM, "family": "rnn"}}, "tokens": "tokenize/tokens"}
    contents = []
    for name in ("a", "b"):
        said = run_listed("study", settings, tmp_path / name, [toy_line.tokens])
        artifact = artifacts.read(tmp_path / name, "study")
        contents.append(artifact.manifest["content"])
        assert "factor per step" in said
    assert contents[0] == contents[1]
    assert len(artifact.json("stats.json")["runs"]) == 8


def test_a_study_of_complexity_marks_what_it_timed(tmp_path: Path, toy_line: Line) -> None:
    measured = {"kind": "complexity", "lengths": [4, 8, 16], "decoded": [2, 4, 8], "rounds": 1}
    settings = {"study": measured, "models": {"lstm": LSTM}, "tokens": "tokenize/tokens"}
    said = run_listed("study", settings, tmp_path / "a", [toy_line.tokens])
    outputs = artifacts.read(tmp_path / "a", "study").manifest["outputs"]
    assert not outputs["stats.json"]["deterministic"]
    assert "decoding time without cache" in said


def test_a_study_of_tokenizers_marks_what_it_timed(tmp_path: Path, toy_line: Line) -> None:
    said = run_listed("study", tokenizers(), tmp_path / "a", [toy_line.tokenizer, toy_line.corpus])
    study = artifacts.read(tmp_path / "a", "study")
    (row,) = study.json("stats.json")["tokenizers"]
    assert row["corpora"]["toy"]["documents"] == 5
    assert row["corpora"]["toy"]["bytes_per_token"] > 1
    assert not study.manifest["outputs"]["timing.json"]["deterministic"]
    assert study.manifest["outputs"]["stats.json"]["deterministic"]
    series = study.json("timing.json")["training"]["toy"]
    assert [one["trainer"] for one in series] == ["naive", "heap", "compiled"]
    assert "Training byte pairs to 280 tokens" in said


def test_a_study_of_accounting_needs_nothing_and_takes_its_device_from_the_settings(tmp_path: Path) -> None:
    """GPT-2 XL in 60 GB: 15.52 B + 34.03 leaves room for one; at a tenth of the peak it takes five times as long."""
    said = run_listed("study", {"study": {"kind": "accounting", "memory_gb": 60, "utilisation": 0.1}}, tmp_path / "a", [])
    study = artifacts.read(tmp_path / "a", "study")
    assert all(output["deterministic"] for output in study.manifest["outputs"].values())
    first = study.json("stats.json")["answers"]["budget"][0]
    assert (first["largest_batch"], round(first["days"] / 5)) == (1, 6584)
    assert "15.52 B + 34.03 GB" in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"study": {"kind": "accounting"}, "models": {"lstm": LSTM}}, "models: a study of accounting has no models"),
        ({"study": {"kind": "gradient"}}, "unknown kind 'gradient'; did you mean 'gradients'?"),
        ({"study": {"kind": "complexity", "lengths": [4, 8]}}, "lengths"),
        ({"study": {"kind": "gradients", "distance": 0}}, "distance"),
        ({"study": GRADIENTS}, "models: a study of gradients needs models"),
        (tokenizers() | {"models": {"lstm": LSTM}}, "models: a study of tokenizers has no models"),
        (tokenizers(sizes=[4, 2, 8]), "should rise from each to the next"),
        (tokenizers(naive_bytes=5000), "give at least 16384"),
        (tokenizers(sizes=[1 << 30, 1 << 31, 1 << 32], naive_bytes=1 << 32), "corpora.toy: has no 4,294,967,296 bytes"),
        (tokenizers() | {"corpora": {"toy": "corpus/x"}}, "corpora.toy: corpus/x is not among the artifacts given"),
        (tokenizers() | {"corpora": {"toy": "bpe/bpe"}}, "corpora.toy: bpe/bpe is of another stage"),
    ],
)
def test_bad_settings_end_with_one_line(tmp_path: Path, toy_line: Line, settings: dict[str, Any], message: str) -> None:
    said = run_listed("study", settings, tmp_path / "a", [toy_line.tokenizer, toy_line.corpus], code=2)
    assert message in said.rstrip().rpartition("\n")[2]
    assert not (tmp_path / "a" / "manifest.json").exists()
