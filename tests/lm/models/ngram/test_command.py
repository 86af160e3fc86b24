"""`python -m stages.lm.models.ngram`: files of the toy line's models and tokens."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.ngram import __main__ as command
from stages.lm.tokens import TokenArray
from tests.toy_line import Line


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["ngram", *map(str, arguments)])
    command.main()


@pytest.mark.parametrize("as_text", [False, True])
def test_a_model_exported_scores_as_it_did(
    as_text: bool, toy_line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, words = tmp_path / "model.arpa", ["--tokenizer", toy_line.tokenizer] if as_text else []
    run(monkeypatch, "export", "--model", toy_line.trigram, "--out", file, *words)
    assert ("Ġ" in file.read_text()) == as_text
    run(monkeypatch, "score", "--arpa", file, "--tokens", toy_line.tokens, *words)
    model, split = registry.load(toy_line.trigram), TokenArray.open(toy_line.tokens, "test")
    end = registry.describe(toy_line.trigram).end_of_text
    rows = [torch.from_numpy(np.concatenate(([end], split.document(i).astype(np.int64)))) for i in range(len(split))]
    nats = -sum(model.token_log_probs(row[None]).sum().item() for row in rows)
    assert f"perplexity {math.exp(nats / len(split.ids)):.4f} " in capsys.readouterr().out


def test_counting_gives_the_file_of_the_trained_model(toy_line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "count", "--tokens", toy_line.tokens, "--order", 3, "--memory", 0.001, "--out", tmp_path / "counted")
    run(monkeypatch, "export", "--model", toy_line.trigram, "--out", tmp_path / "exported")
    assert (tmp_path / "counted").read_bytes() == (tmp_path / "exported").read_bytes()


def test_other_models_have_no_such_file(toy_line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="of family transformer"):
        run(monkeypatch, "export", "--model", toy_line.transformer, "--out", tmp_path / "model.arpa")
    assert list(tmp_path.iterdir()) == []
