"""The stage decode as it is run."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.lm import artifacts
from stages.lm.bpe.files import load_tokenizer
from stages.lm.evaluation.quality import quality
from tests.stage_runs import run, write_corpus
from tests.toy_line import Line

SETTINGS = {"prompts": ["", "Once upon a time"], "samples": 2, "max_tokens": 40, "seed": 3}


def read_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").split("\n") if line]


def test_texts_for_each_prompt_that_a_seed_determines(toy_line: Line, tmp_path: Path) -> None:
    for name in "ab":
        run("decode", SETTINGS, tmp_path / name, model=toy_line.transformer, tokenizer=toy_line.tokenizer)
    artifact = artifacts.read(tmp_path / "a", "decode")
    lines = read_lines(tmp_path / "a")
    assert [(line["prompt"], line["sample"]) for line in lines] == [(prompt, i) for prompt in SETTINGS["prompts"] for i in (0, 1)]
    assert len({line["completion"] for line in lines}) == 4
    for line in lines:
        assert line["stop_reason"] == ("max tokens" if line["tokens"] == 40 else "end of text")
        assert "<|endoftext|>" not in line["completion"]
        assert (line["seed"], line["settings"]["max_tokens"]) == (3, 40)
    assert artifact.json("stats.json")["quality"] == quality([line["completion"] for line in lines])
    assert artifact.manifest["content"] == artifacts.read(tmp_path / "b", "decode").manifest["content"]
    timing, tokens = artifact.json("timing.json"), sum(line["tokens"] for line in lines)
    assert (timing["at_once"], timing["tokens"]) == (2, tokens)
    assert timing["tokens_per_second"] == pytest.approx(tokens / timing["seconds"])
    readable = artifact.file("samples.txt").read_bytes().decode()
    assert all(line["prompt"] + line["completion"] in readable for line in lines)


def test_a_text_is_the_same_with_fewer_samples_beside_it(toy_line: Line, tmp_path: Path) -> None:
    for name, samples in (("one", 1), ("three", 3)):
        run("decode", SETTINGS | {"samples": samples}, tmp_path / name, model=toy_line.trigram, tokenizer=toy_line.tokenizer)
    first = {}
    for name in ("one", "three"):
        first[name] = [line["completion"] for line in read_lines(tmp_path / name) if line["sample"] == 0]
    assert first["one"] == first["three"]


def test_a_greedy_text_is_the_most_probable_chain(toy_line: Line, tmp_path: Path) -> None:
    import torch

    from stages.lm.models import registry

    greedy = {"temperature": 0.0, "repetition_penalty": 1.0, "max_tokens": 12}
    run("decode", greedy, tmp_path / "out", model=toy_line.trigram, tokenizer=toy_line.tokenizer)
    model, tokenizer = registry.load(toy_line.trigram), load_tokenizer(toy_line.tokenizer)
    ids = [tokenizer.end_of_text]
    for _ in range(12):
        candidates = torch.tensor([[*ids, token] for token in range(tokenizer.vocab_size)])
        ids.append(int(model.token_log_probs(candidates)[:, -1].argmax()))
        if ids[-1] == tokenizer.end_of_text:
            break
    [line] = read_lines(tmp_path / "out")
    assert line["completion"] == tokenizer.decode([token for token in ids if token != tokenizer.end_of_text])


def test_another_tokenizer_is_refused(toy_line: Line, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, train=["some other text"])
    run("bpe", {"vocab_size": 260}, tmp_path / "bpe", corpus=corpus)
    said = run("decode", SETTINGS, tmp_path / "out", model=toy_line.trigram, tokenizer=tmp_path / "bpe", code=2)
    assert "was trained with the tokenizer" in said
    assert not (tmp_path / "out").exists()


def test_settings_out_of_bounds_are_refused(toy_line: Line, tmp_path: Path) -> None:
    inputs = {"model": toy_line.trigram, "tokenizer": toy_line.tokenizer}
    assert "top_p" in run("decode", {"top_p": 0.0}, tmp_path / "out", code=2, **inputs)
    assert "did you mean 'temperature'" in run("decode", {"temprature": 1.0}, tmp_path / "out", code=2, **inputs)


def test_texts_of_many_prompts_at_once_stop_where_they_are_told(toy_line: Line, tmp_path: Path) -> None:
    inputs = {"model": toy_line.trigram, "tokenizer": toy_line.tokenizer}
    many = SETTINGS | {"prompts": ["", "Once upon a time", "There was a", "One day"], "stop": [". ", "!"], "log_probs": True}
    for size in (1, 3, 16):
        run("decode", many | {"batch_size": size}, tmp_path / str(size), **inputs)
    alone, some, every = ([line | {"settings": None} for line in read_lines(tmp_path / str(size))] for size in (1, 3, 16))
    assert alone == some == every
    assert {line["stop_reason"] for line in alone} >= {"stop text"}
    vocab = load_tokenizer(toy_line.tokenizer).vocab
    for line in alone:
        assert ". " not in line["completion"]
        assert "!" not in line["completion"]
        assert len(line["ids"]) == line["tokens"]
        text = b"".join(vocab[token] for token in line["ids"]).decode()
        if line["stop_reason"] == "stop text":  # the token that a piece begins in is cut
            assert line["completion"].startswith(text)
            assert len(line["completion"]) - len(text) < max(map(len, vocab.values()))
        else:
            assert line["completion"] == text
        assert len(line["log_probs"]) == line["tokens"] + (line["stop_reason"] == "end of text")
        assert all(number <= 0 for number in line["log_probs"])
    assert artifacts.read(tmp_path / "3", "decode").json("timing.json")["at_once"] == 3
    assert "stop_ids: 999 is no token" in run("decode", {"stop_ids": [999]}, tmp_path / "out", code=2, **inputs)


def test_a_draft_changes_no_greedy_text(toy_line: Line, tmp_path: Path) -> None:
    inputs = {"model": toy_line.transformer, "tokenizer": toy_line.tokenizer}
    greedy = SETTINGS | {"temperature": 0.0, "samples": 1}
    run("decode", greedy, tmp_path / "plain", **inputs)
    drafted = greedy | {"draft": "trigram", "draft_tokens": 3}
    run("decode", drafted, tmp_path / "drafted", draft=toy_line.trigram, **inputs)
    plain, found = (artifacts.read(tmp_path / name, "decode") for name in ("plain", "drafted"))
    assert found.manifest["inputs"].keys() == {"model", "tokenizer", "draft"}
    texts = ([line["completion"] for line in read_lines(artifact.path)] for artifact in (plain, found))
    assert next(texts) == next(texts)
    tally = found.json("stats.json")["speculation"]
    assert 0 <= tally["taken"] <= tally["drafted"]
    assert tally["acceptance"] == pytest.approx(tally["taken"] / tally["drafted"], abs=1e-4)
    assert "trigram drafted" in found.file("README.md").read_text(encoding="utf-8")
    assert "--draft: is needed" in run("decode", drafted, tmp_path / "out", code=2, **inputs)
    assert not (tmp_path / "out").exists()


def test_the_most_probable_text(toy_line: Line, tmp_path: Path) -> None:
    inputs = {"model": toy_line.transformer, "tokenizer": toy_line.tokenizer}
    searched = {"prompts": ["Once upon a time", "One day"], "beams": 3, "max_tokens": 6, "precision": "int8"}
    said = run("decode", searched, tmp_path / "out", code=2, **inputs)
    assert "beams: look for the most probable text, to the model's own end; set temperature to 0.0 and repetition_penalty" in said
    run("decode", searched | {"temperature": 0.0, "repetition_penalty": 1.0}, tmp_path / "out", **inputs)
    artifact = artifacts.read(tmp_path / "out", "decode")
    assert [line["prompt"] for line in read_lines(artifact.path)] == searched["prompts"]
    assert "Found by beam search of 3 with length penalty 0.6." in artifact.file("README.md").read_text(encoding="utf-8")
    assert artifact.json("timing.json")["at_once"] is None


def test_half_the_digits_and_compiled_code_are_for_decoders_with_softmax_attention(toy_line: Line, tmp_path: Path) -> None:
    inputs = {"model": toy_line.trigram, "tokenizer": toy_line.tokenizer}
    assert "precision: only decoders" in run("decode", {"precision": "bf16"}, tmp_path / "out", code=2, **inputs)
    assert "compile: only decoders" in run("decode", {"compile": True}, tmp_path / "out", code=2, **inputs)
