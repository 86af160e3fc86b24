"""The largest batch: how it is searched, and that it runs where one example more does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.lm.accounting import largest_batch as module
from stages.lm.accounting.commands import largest_batch_command, limit_of
from stages.lm.accounting.largest_batch import boundary, estimated_batch, largest_batch, last_below
from stages.lm.accounting.measured import Steps, peak_bytes, with_batch
from stages.lm.accounting.memory import training_memory
from stages.lm.errors import UserError
from stages.lm.settings import parse
from stages.lm.training.settings import TrainSettings

GPT = {"family": "transformer", "layers": 2, "heads": 4, "d_model": 128, "context_length": 256}
LSTM = {"family": "lstm", "layers": 2, "d_model": 128, "context_length": 256}
LIMIT = 400_000_000
VOCAB = 2000


def run(model: dict[str, Any]) -> TrainSettings:
    """With exact products: for `medium` ones CPUs with AMX copy operands to bf16, which no estimate counts."""
    return parse(
        TrainSettings, {"model": model, "training": {"device": "cpu", "threads": 1, "matmul_precision": "highest"}}, "test"
    )


@pytest.mark.parametrize("limit", [0, 9, 10, 11, 57, 1000, 98_765, 10**7])
@pytest.mark.parametrize("cost", [lambda n: 10 * n, lambda n: 7 + 3 * n, lambda n: 10 * n + 5 * min(n, 8), lambda n: n * n])
def test_the_last_n_below_a_limit(cost: Any, limit: int) -> None:
    asked: list[int] = []
    found = last_below(lambda n: asked.append(n) or cost(n), limit)  # type: ignore[func-returns-value]
    assert found == 0 or cost(found) <= limit
    assert cost(found + 1) > limit
    assert len(asked) == len(set(asked))
    if cost(2) - cost(1) == cost(1000) - cost(999) == cost(1001) - cost(1000):
        assert len(asked) <= 6


@pytest.mark.parametrize("guess", [1, 2, 30, 37, 38, 39, 200])
@pytest.mark.parametrize("largest", [0, 1, 37, 38, 100])
def test_the_boundary_from_any_guess(guess: int, largest: int) -> None:
    assert boundary(lambda n: n <= largest, guess) == largest


def test_the_estimate_is_at_most_the_limit_and_one_more_is_above() -> None:
    found = estimated_batch(run(GPT), VOCAB, LIMIT)
    at, above = (
        training_memory(run(GPT).model, with_batch(run(GPT), size).training, VOCAB)["total"] for size in (found, found + 1)
    )
    assert at <= LIMIT < above


@pytest.mark.slow
@pytest.mark.parametrize("model", [GPT, LSTM], ids=["transformer", "lstm"])
def test_it_runs_and_one_more_does_not(model: dict[str, Any], tmp_path: Path) -> None:
    found = largest_batch(run(model), VOCAB, LIMIT, kept=tmp_path / "kept.json")
    runs = [
        peak_bytes(Steps(with_batch(run(model), found.batch_size + more).resolved(), VOCAB, limit=LIMIT)) is not None
        for more in (0, 1)
    ]
    assert runs == [True, False]
    assert found.batch_size == pytest.approx(found.estimated, rel=0.1)


def test_what_was_found_is_kept_by_settings_and_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def steps(one: Steps) -> int | None:
        size = one.settings["training"]["batch_size"]
        tried.append(size)
        return 0 if size <= 5 else None

    monkeypatch.setattr(module, "peak_bytes", steps)
    kept = tmp_path / "state" / "largest.json"
    assert largest_batch(run(GPT), VOCAB, LIMIT, kept=kept).batch_size == 5
    assert {5, 6} <= set(tried)
    tried.clear()
    assert largest_batch(with_batch(run(GPT), 99), VOCAB, LIMIT, kept=kept).batch_size == 5
    assert not tried
    largest_batch(run(GPT), VOCAB, LIMIT // 2, kept=kept)
    assert tried
    assert len(json.loads(kept.read_text())) == 2


def test_counting_models_have_no_batches(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: {family: ngram}\n")
    with pytest.raises(UserError, match="family ngram is trained by counting"):
        largest_batch_command(["--config", str(tmp_path / "config.yaml"), "--tokens", "none"])


def test_what_is_no_amount_of_memory_is_refused() -> None:
    assert limit_of("512 MiB") == 2**29
    with pytest.raises(UserError, match="--memory: 'lots' is no amount of memory"):
        limit_of("lots")
