"""The stages on a GPU: what they say of a model is what they say on a CPU, and a training that was stopped goes on."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.lm import artifacts
from tests import toy_line
from tests.stage_runs import run

MODEL = {"family": "transformer", "layers": 2, "heads": 2, "d_model": 64, "context_length": 64}
PAUSED = 0
TRAINING = {"steps": 60, "batch_size": 16, "learning_rate": 5e-3, "validate_every": 20, "matmul_precision": "highest"}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> toy_line.Line:
    return toy_line.make(tmp_path_factory.mktemp("line"))


def losses(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record["validation_loss"] for record in map(json.loads, lines) if "validation_loss" in record]


def trained(line: toy_line.Line, out: Path, **training: Any) -> Path:
    run("train", {"model": MODEL, "training": TRAINING | training}, out, tokens=line.tokens, state=out.with_suffix(".state"))
    return out


@pytest.fixture(scope="module")
def by_gpu(line: toy_line.Line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(line, tmp_path_factory.mktemp("gpu") / "run", device="cuda")


def test_a_training_is_that_of_a_cpu(line: toy_line.Line, by_gpu: Path, tmp_path: Path) -> None:
    assert losses(by_gpu) == pytest.approx(losses(trained(line, tmp_path / "cpu", device="cpu")), rel=1e-3)
    assert "gpu" in artifacts.read(by_gpu, "train").manifest["host"]


@pytest.mark.parametrize("compile", [False, "auto", "graphs"])
def test_a_paused_training_goes_on(line: toy_line.Line, by_gpu: Path, tmp_path: Path, compile: object) -> None:
    settings = {"model": MODEL, "training": TRAINING | {"device": "cuda", "compile": compile}}
    inputs: dict[str, Any] = {"tokens": line.tokens, "state": tmp_path / "state"}
    run("train", settings, tmp_path / "run", **inputs | {"pause-at": 30})
    assert "going on after step 30" in run("train", settings, tmp_path / "run", **inputs)
    assert losses(tmp_path / "run") == pytest.approx(losses(by_gpu), rel=1e-3)


def test_evaluation_and_decoding_are_those_of_a_cpu(line: toy_line.Line, by_gpu: Path, tmp_path: Path) -> None:
    found, texts = [], []
    for device in ("cpu", "cuda"):
        out = tmp_path / f"evaluation-{device}"
        run("evaluate", {"device": device}, out, model=by_gpu, tokens=line.tokens, corpus=line.corpus)
        found.append(artifacts.read(out, "evaluate").json("stats.json")["bits_per_byte"]["value"])
        out = tmp_path / f"texts-{device}"
        settings = {"device": device, "prompts": ["Once", ""], "temperature": 0, "max_tokens": 30}
        run("decode", settings, out, model=by_gpu, tokenizer=line.tokenizer)
        texts.append([json.loads(text)["completion"] for text in (out / "samples.jsonl").read_text().splitlines()])
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert texts[1] == texts[0]
