"""Other readers of the metrics: absent unless asked for, and harmless offline."""

import subprocess
import sys
from pathlib import Path

import pytest

from stages.lm.errors import UserError
from stages.lm.training import tracking

RECORD = {"step": 1, "loss": 2.0, "norms": {"weights": {"lm_head": 0.5}}}


def test_disabled_does_not_even_import_wandb_or_tensorboard(root: Path) -> None:
    code = "import sys; from stages.lm.training import tracking; tracking.start('disabled', False, 'x', {}).log({'step': 1}); "
    code += "sys.exit('wandb' in sys.modules or 'tensorboard' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


def test_numbers_of_nested_records_have_their_path_as_a_name() -> None:
    assert tracking.flat(RECORD) == {"step": 1, "loss": 2.0, "norms/weights/lm_head": 0.5}


@pytest.mark.slow
def test_offline_writes_a_run_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    tracker = tracking.start("offline", False, "gpt-0123456789ab", {"steps": 2}, "rates")
    assert isinstance(tracker, tracking.Trackers)
    (only,) = tracker.trackers
    assert isinstance(only, tracking.WandbTracker)
    assert (only.run.id, only.run.group) == ("gpt-0123456789ab", "rates")
    tracker.log(RECORD)
    tracker.close()
    assert [path.suffix for path in tmp_path.rglob("*gpt-0123456789ab.wandb")] == [".wandb"]


def test_tensorboard_shows_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard here")
    monkeypatch.chdir(tmp_path)
    tracker = tracking.start("disabled", True, "gpt-0123456789ab", {})
    tracker.log(RECORD)
    tracker.close()
    events = accumulator.EventAccumulator(str(tmp_path / "logs/tensorboard/gpt-0123456789ab"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 2.0)]
    assert [event.value for event in events.Scalars("norms/weights/lm_head")] == [0.5]


def test_tensorboard_that_is_not_installed_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="the package tensorboard is not installed"):
        tracking.start("disabled", True, "x", {})
