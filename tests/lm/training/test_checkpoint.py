"""Checkpoints in a file, and the folder that no crash spoils."""

import io
import logging
from pathlib import Path

import pytest
import torch

from stages.lm.errors import UserError
from stages.lm.models.transformer import TransformerLM
from stages.lm.training.checkpoint import load_checkpoint, save_checkpoint
from stages.lm.training.optimizer import AdamW
from stages.lm.training.state import Progress, StateFolder


def learner(kind: type[torch.optim.Optimizer], seed: int, tied: bool = False) -> tuple[TransformerLM, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = TransformerLM(11, 4, d_model=8, num_layers=1, num_heads=2, d_ff=8, tie_embeddings=tied)
    return model, kind(model.parameters(), lr=1e-2)  # type: ignore[call-arg]


def steps(model: TransformerLM, optimizer: torch.optim.Optimizer, count: int) -> None:
    for step in range(count):
        optimizer.zero_grad()
        model.total_loss(torch.arange(10).view(2, 5) % (step + 2)).backward()
        optimizer.step()


@pytest.mark.parametrize("kind", [AdamW, torch.optim.AdamW])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("to_file", [False, True])
def test_training_goes_on_exactly(tmp_path: Path, kind: type[torch.optim.Optimizer], tied: bool, to_file: bool) -> None:
    model, optimizer = learner(kind, seed=0, tied=tied)
    steps(model, optimizer, 3)
    target = tmp_path / "checkpoint" if to_file else io.BytesIO()
    save_checkpoint(model, optimizer, 3, target)
    steps(model, optimizer, 2)

    if isinstance(target, io.BytesIO):
        target.seek(0)
    resumed, its_optimizer = learner(kind, seed=1, tied=tied)
    assert load_checkpoint(target, resumed, its_optimizer) == 3
    steps(resumed, its_optimizer, 2)
    for a, b in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert optimizer.state_dict()["param_groups"] == its_optimizer.state_dict()["param_groups"]


def test_the_optimizer_is_optional_on_load(tmp_path: Path) -> None:
    model, optimizer = learner(AdamW, 0)
    save_checkpoint(model, optimizer, 7, tmp_path / "checkpoint")
    other, _ = learner(AdamW, 1)
    assert load_checkpoint(tmp_path / "checkpoint", other) == 7
    assert torch.equal(other.lm_head.weight, model.lm_head.weight)


IDENTITY = {"settings": "a", "code": "b"}


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    state = StateFolder(tmp_path, IDENTITY)
    assert state.latest() is None
    for step in (5, 10, 200):
        state.write(Progress(step, step * 8, step / 2, 1.5), {"weights": b"w%d" % step})
    found = state.latest()
    assert found is not None
    assert found[0] == Progress(200, 1600, 100.0, 1.5)
    assert (found[1] / "weights").read_bytes() == b"w200"
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["step-000000010", "step-000000200"]
    state.finish()
    assert not tmp_path.exists()


@pytest.mark.parametrize("damage", ["altered", "torn", "no marker"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    state = StateFolder(tmp_path, IDENTITY)
    for step in (1, 2):
        state.write(Progress(step), {"weights": b"weights of this step"})
    last = tmp_path / "step-000000002"
    if damage == "altered":
        (last / "weights").write_bytes(b"weights of that step")
    elif damage == "torn":
        (last / "weights").unlink()
    else:
        (last / "complete.json").unlink()
    with caplog.at_level(logging.WARNING, "stagecraft"):
        found = state.latest()
    assert found is not None
    assert found[0].step == 1
    assert "step-000000002 is passed over" in caplog.text


def test_checkpoints_of_another_run_are_refused_and_those_of_older_code_not_used(tmp_path: Path) -> None:
    StateFolder(tmp_path, IDENTITY).write(Progress(1), {})
    with pytest.raises(UserError, match=r"another run \(other settings\)"):
        StateFolder(tmp_path, IDENTITY | {"settings": "other"}).latest()
    assert StateFolder(tmp_path, IDENTITY | {"code": "newer"}).latest() is None
