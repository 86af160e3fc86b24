"""What the benchmarks share: measurements in processes of their own, and the peak memory of a process and its children."""

import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


class Memory:
    """The peak of the proportional memory of this process and its children, sampled every 100 ms, in bytes."""

    def __enter__(self) -> "Memory":
        self.peak, self.done = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.done.wait(0.1):
            self.peak = max(self.peak, sum(map(self._pss, self._tree(os.getpid()))))

    def _tree(self, process: int) -> list[int]:
        try:
            children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        except OSError:
            children = []
        return [process, *(below for child in children for below in self._tree(int(child)))]

    def _pss(self, process: int) -> int:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def trim() -> None:
    """Give back what a warm-up has left behind, that the C library would keep: no part of the measured work."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def measure(script: str, job: dict[str, Any], python: str = sys.executable) -> dict[str, Any]:
    """Run one measurement of `script` in a new process."""
    command = [python, script, "--job", json.dumps(job)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{job} failed:\n{result.stderr[-2000:]}")
    return dict(json.loads(result.stdout.splitlines()[-1]))


def machine(rounds: int) -> str:
    """The line above a table."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    about = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return f"{about}, {os.cpu_count()} cores, Python {platform.python_version()}, {rounds} rounds"


def spread(values: list[float]) -> str:
    """The median with the least and the greatest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} – {max(values):.2f})"
