"""What the system says of processes (proc_pid_status(5)): who descends from whom, and how much memory each has."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from glob import glob
from pathlib import Path


def family(pid: int) -> Iterator[int]:
    """A process and all that descend from it; the children of each are looked up after it has been given out."""
    waiting = [pid]
    while waiting:
        yield (one := waiting.pop())
        for children in glob(f"/proc/{one}/task/*/children"):  # noqa: PTH207, Path.glob raises where one ends meanwhile
            with suppress(OSError):
                waiting += map(int, Path(children).read_text().split())


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to processes that may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def resident(pid: int | str) -> int:
    """The memory that a process has now, in bytes."""
    return _memory(pid, "VmRSS")


def forget_peak(pid: int | str) -> int:
    """Let the greatest memory of a process count from now on; returns what it has now, in bytes."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return resident(pid)


def peak_of(pid: int | str) -> int:
    """The greatest memory of a process since then, in bytes."""
    return _memory(pid, "VmHWM")


def _memory(pid: int | str, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{key}:")), 0)
