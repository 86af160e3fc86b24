"""Weights & Biases: absent unless asked for, and harmless offline."""

import subprocess
import sys
from pathlib import Path

import pytest

from stages.lm.training import tracking


def test_disabled_does_not_even_import_wandb(root: Path) -> None:
    code = "import sys; from stages.lm.training import tracking; tracking.start('disabled', 'x', {}).log({'step': 1}); "
    code += "sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


@pytest.mark.slow
def test_offline_writes_a_run_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    tracker = tracking.start("offline", "gpt-0123456789ab", {"steps": 2})
    tracker.log({"step": 1, "loss": 2.0})
    tracker.close()
    assert [path.suffix for path in tmp_path.rglob("*gpt-0123456789ab.wandb")] == [".wandb"]
