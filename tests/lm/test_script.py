"""Scripts end with one clear line and the exit code that DESIGN promises: 0, 2, 75."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import errno, sys
from stages.lm import script
from stages.lm.errors import Stopped, UserError

def main():
    args = script.arguments("bpe", "A script.", inputs=("corpus",))
    if "raise" in args.settings:
        raise {"user": UserError("corpus.paths: no such file\\nas x"), "stopped": Stopped("saved at step 3"),
               "full": OSError(errno.ENOSPC, "No space left on device", "results/x")}[args.settings["raise"]]

script.run(main)
"""


def run(tmp_path: Path, settings: str, config: str = "-") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, "--config", config, "--corpus", "c", "--out", "o", "--log", str(tmp_path / "log")]
    return subprocess.run(command, input=settings, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("settings", "code", "line"),
    [
        ("a: 1", 0, ""),
        ("raise: user", 2, "error: -c: corpus.paths: no such file as x\n"),
        ("raise: stopped", 75, "saved at step 3\n"),
        ("raise: full", 2, "error: -c: results/x: No space left on device; free some space, or put results/ on another disk\n"),
        ("[1, 2]", 2, "error: -c: -: holds list, but settings are a mapping of keys to values\n"),
    ],
)
def test_exit_codes_and_lines(tmp_path: Path, settings: str, code: int, line: str) -> None:
    done = run(tmp_path, settings)
    shown = f"bpe o: {line}" if line and code != 2 else line
    assert (done.returncode, done.stderr, done.stdout) == (code, shown, "")
    assert (tmp_path / "log").read_text().endswith(line)


def test_invalid_yaml_and_missing_settings_are_user_errors(tmp_path: Path) -> None:
    done = run(tmp_path, "a: [1")
    assert done.returncode == 2
    assert "is not valid YAML" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run(tmp_path, "", config=str(tmp_path / "none.yaml"))
    assert (done.returncode, done.stderr) == (2, f"error: -c: {tmp_path / 'none.yaml'}: no such settings file\n")
