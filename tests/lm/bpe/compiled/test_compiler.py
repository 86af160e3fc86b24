"""Compiled code on disk: found again, and made again where it is stale, damaged or cannot be kept."""

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest
from numba.core import config

from stages.lm.bpe.compiled import compiler

CODE = "def double(number):\n    return number + number\n"


class Machine:
    """A folder for compiled code; each call of `double` is as in a process of its own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture) -> None:
        self.folder, self.log = folder, log
        self.source = folder / "doubling.py"
        self.source.write_text(CODE)
        patch.setenv("NUMBA_CACHE_DIR", str(folder / "cache"))
        config.reload_config()
        log.set_level(logging.INFO, "stagecraft")

    def double(self, number: int) -> tuple[int, list[str]]:
        """Twice the number, and what was said."""
        self.log.clear()
        compiler.say_once.cache_clear()
        spec = importlib.util.spec_from_file_location("doubling", self.source)
        assert spec
        assert spec.loader
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return compiler.compiled(module.double)(number), self.log.messages

    def files(self, ending: str) -> list[Path]:
        return list((self.folder / "cache").rglob(f"*.{ending}"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Machine:
    return Machine(tmp_path, monkeypatch, caplog)


COMPILING = ["compiling fast code: once for this machine, some ten seconds"]


def test_compiles_once_and_says_so(machine: Machine) -> None:
    assert machine.double(4) == (8, COMPILING)
    assert machine.double(5) == (10, [])
    assert len(machine.files("nbc")) == 1


def test_a_change_in_any_file_makes_it_stale(machine: Machine) -> None:
    machine.double(4)
    (machine.folder / "beside.py").write_text("")
    compiler.sources.cache_clear()
    assert machine.double(4) == (8, COMPILING)
    assert machine.double(4) == (8, [])


@pytest.mark.parametrize("ending", ["nbc", "nbi"])
@pytest.mark.parametrize("kept", [slice(0), slice(-40), slice(40, None), slice(None, None, -1)])
def test_damaged_files_are_made_again(machine: Machine, ending: str, kept: slice) -> None:
    machine.double(4)
    for file in machine.files(ending):
        file.write_bytes(file.read_bytes()[kept])
    result, said = machine.double(4)
    assert (result, said[1:]) == (8, COMPILING)
    assert said[0].startswith("compiled code that was kept is damaged (")
    assert machine.double(4) == (8, [])


def test_a_full_disk(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiler.CodeFiles, "_save_data", full)
    result, said = machine.double(4)
    assert result == 8
    assert said == [
        *COMPILING,
        "compiled code cannot be kept ([Errno 28] No space left on device); NUMBA_CACHE_DIR names another place",
    ]


def test_a_folder_that_cannot_be_made(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """numba then takes the folder of the source."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(machine.source / "no-folder"))
    config.reload_config()
    assert machine.double(4) == (8, COMPILING)
    assert machine.double(4) == (8, [])
