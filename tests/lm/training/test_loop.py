"""The trainer on tiny models: it learns, it validates on schedule, it stops and goes on exactly."""

import json
import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.lm.errors import Stopped, UserError
from stages.lm.models import registry
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.transformer import TransformerLM
from stages.lm.tokens import TokenArray
from stages.lm.training import machine
from stages.lm.training.batches import WindowSampler, validation_set
from stages.lm.training.loop import Learner, Run
from stages.lm.training.settings import TrainingSettings, TrainSettings, relevant_training
from stages.lm.training.state import StateFolder

MODEL = TransformerSettings(family="transformer", layers=1, heads=2, d_model=16, context_length=8)
VOCAB = 13
IDS = (np.arange(4000) ** 2 % VOCAB).astype(np.uint16)
SETTINGS = TrainingSettings(
    steps=12, batch_size=4, learning_rate=1e-2, validate_every=5, validation_windows=3, log_every=4, threads=1, device="cpu"
)


def one_document(ids: np.ndarray) -> TokenArray:
    return TokenArray(ids, np.array([0, len(ids)]), np.array([len(ids)]))


def learner(settings: TrainingSettings) -> Learner:
    device = machine.prepare(settings)
    model = registry.build(MODEL, VOCAB, settings.seed)
    assert isinstance(model, TransformerLM)
    return Learner(model, settings, device)


def run_in(folder: Path, settings: TrainingSettings = SETTINGS, checkpoint_seconds: float = 1e9) -> Run:
    return Run(
        learner(settings),
        WindowSampler(IDS, MODEL.context_length, settings.batch_size, settings.seed),
        validation_set(one_document(IDS[:500]), MODEL.context_length, settings.validation_windows),
        StateFolder(folder, {"settings": "x"}),
        checkpoint_seconds=checkpoint_seconds,
    )


def weights(run: Run) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in run.learner.model.parameters()]


def test_one_batch_can_be_learned_by_heart() -> None:
    settings = SETTINGS.model_copy(update={"weight_decay": 0.0})
    pupil = learner(settings)
    ids = torch.randint(VOCAB, (2, 9), generator=torch.Generator().manual_seed(0))
    first, _ = pupil.step(ids, 1e-2)
    for _ in range(300):
        last, _ = pupil.step(ids, 1e-2)
    assert last < 0.02 < 2 < first


def test_the_first_loss_is_near_that_of_guessing(tmp_path: Path) -> None:
    assert run_in(tmp_path).step() == pytest.approx(math.log(VOCAB), abs=1.0)


def test_logs_have_their_lines_when_they_are_due(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.train()
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in metrics if "loss" in m] == [4, 8, 12]
    assert [m["step"] for m in metrics if "validation_loss" in m] == [5, 10, 12]
    assert all(m["tokens"] == m["step"] * 4 * 8 for m in metrics)
    assert metrics[-2]["learning_rate"] == pytest.approx(1e-3)  # the decay ends with the last step
    timing = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert [t["step"] for t in timing] == [4, 5, 8, 10, 12]
    assert timing[-1]["seconds"] >= timing[0]["seconds"] > 0


def test_validation_is_the_mean_over_its_own_windows(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    model = run.learner.model
    assert isinstance(model, TransformerLM)
    expected = -model.token_log_probs(run.validation.ids)[run.validation.counted].mean().item()
    for batch_size in (1, 2, 3):
        run.learner.settings = SETTINGS.model_copy(update={"batch_size": batch_size})
        assert run.learner.validate(run.validation) == pytest.approx(expected, rel=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    runs = [run_in(tmp_path / name) for name in ("a", "b")]
    runs.append(run_in(tmp_path / "c", SETTINGS.model_copy(update={"seed": 1})))
    for run in runs:
        run.train()
    a, b, c = (weights(run) for run in runs)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a, c, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_told_to_stop_it_saves_and_goes_on_exactly(
    tmp_path: Path, number: signal.Signals, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"precision": precision})
    whole = run_in(tmp_path / "whole", settings)
    whole.train()

    stopped = run_in(tmp_path / "stopped", settings)
    batch = stopped.sampler.batch
    monkeypatch.setattr(stopped.sampler, "batch", lambda step: (step == 6 and os.kill(os.getpid(), number), batch(step))[1])
    with pytest.raises(Stopped, match=f"{number.name} after step 7 of 12"):
        stopped.train()
    resumed = run_in(tmp_path / "stopped", settings)
    resumed.train()

    assert all(torch.equal(x, y) for x, y in zip(weights(whole), weights(resumed), strict=True))
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "stopped")]
    assert logs[0] == logs[1]


def test_frequent_checkpoints_change_nothing(tmp_path: Path) -> None:
    often, never = run_in(tmp_path / "often", checkpoint_seconds=0), run_in(tmp_path / "never")
    often.train()
    never.train()
    assert all(torch.equal(x, y) for x, y in zip(weights(often), weights(never), strict=True))
    assert sorted(folder.name for folder in (tmp_path / "often").glob("step-*")) == ["step-000000011", "step-000000012"]


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    with torch.no_grad():
        next(run.learner.model.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"at step 1 the loss is nan .* lower training\.learning_rate"):
        run.train()


def test_a_validation_split_shorter_than_the_context_is_refused() -> None:
    with pytest.raises(UserError, match="the valid split has only 8 tokens"):
        validation_set(one_document(IDS[:8]), 8, 3)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="warmup_steps 11 is more than steps 10"):
        TrainingSettings(steps=10, warmup_steps=11)
    with pytest.raises(ValueError, match="above learning_rate"):
        TrainingSettings(learning_rate=1e-4, min_learning_rate=1e-3)


def test_families_that_count_do_not_depend_on_the_settings_of_training() -> None:
    counting = TrainSettings.model_validate({"model": {"family": "ngram"}, "training": {"steps": 5}})
    assert counting.resolved() == {"model": {"family": "ngram", "order": 3}, "training": {}}
    assert relevant_training(MODEL, SETTINGS)["steps"] == 12
    assert TrainSettings.model_validate(counting.resolved()).resolved() == counting.resolved()
