"""Training with carried state: it goes on exactly after a stop, and the state is what makes distant text matter."""

import os
from pathlib import Path
from signal import SIGTERM
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from stages.lm.errors import Stopped
from stages.lm.models import registry
from stages.lm.tokens import TokenArray
from stages.lm.training import machine
from stages.lm.training.learner import Learner
from stages.lm.training.loop import Run
from stages.lm.training.settings import TrainSettings
from stages.lm.training.state import StateFolder
from stages.lm.training.streams import StreamData
from stages.lm.training.windows import WindowData

VOCAB = 12
IDS = np.random.default_rng(0).integers(VOCAB, size=700).astype(np.uint16)
TRAINING = {"steps": 12, "batch_size": 3, "learning_rate": 1e-2, "validate_every": 5, "validation_windows": 3, "threads": 1}


def run_in(folder: Path, family: str, **model: object) -> Run:
    settings = TrainSettings.model_validate(
        {"model": {"family": family, "layers": 2, "d_model": 8, "context_length": 16, **model}, "training": TRAINING}
    )
    tokens = TokenArray(IDS, np.array([0, len(IDS)]), np.array([len(IDS)]))
    described: Any = settings.model
    kind = StreamData if described.learns_from == "streams" else WindowData
    data = kind({"train": tokens, "valid": tokens}, described.context_length, settings.training)

    def build() -> Learner:
        device = machine.prepare(settings.training)
        built = cast(nn.Module, registry.build(settings.model, VOCAB, settings.training.seed))
        return Learner(built, settings.training, device)

    return Run(build, data, StateFolder(folder, {"settings": "x"}))


@pytest.mark.parametrize("family", ["rnn", "lstm", "gru"])
def test_a_run_that_was_stopped_goes_on_with_the_state_it_carried(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = run_in(tmp_path / "whole", family), run_in(tmp_path / "stopped", family)
    whole.train()
    step = stopped.step  # an epoch has 14
    monkeypatch.setattr(stopped, "step", lambda batch: (stopped.done.step == 6 and os.kill(os.getpid(), SIGTERM), step(batch)))
    with pytest.raises(Stopped, match="after step 7 of 12"):
        stopped.train()
    resumed = run_in(tmp_path / "stopped", family)
    resumed.train()
    for expected, found in zip(whole.learner.model.parameters(), resumed.learner.model.parameters(), strict=True):
        assert torch.equal(found, expected)
    assert all(torch.equal(a, b) for a, b in zip(resumed.learner.carry, whole.learner.carry, strict=True))
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "stopped/metrics.jsonl").read_bytes()


def test_without_carried_state_windows_come_at_random_and_start_from_zero(tmp_path: Path) -> None:
    run = run_in(tmp_path, "lstm", carry_state=False)
    run.train()
    assert run.learner.carry == ()
