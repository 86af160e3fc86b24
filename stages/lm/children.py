"""Running a command as a child that is told what this process is told: signals reach it, and its exit code comes back."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import IO, NamedTuple


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    """Its exit code, 128 + the number of the signal that ended it."""
    last_line: str
    """The last line of its standard error."""


def run(command: Sequence[str], settings: str | None = None) -> Ended:
    """Run a command and hand SIGTERM on to it as SIGUSR1, which `srun` and torchrun pass to all their processes.

    With `settings` they are its standard input, and its standard error is passed on line by line, to know the last one; without
    it has the standard streams of this process.
    """
    own = None if settings is None else subprocess.PIPE
    child = subprocess.Popen(command, stdin=own, stderr=own, text=True)
    last = [""]

    def hand_on(_number: int, _frame: FrameType | None) -> None:
        child.send_signal(signal.SIGUSR1)

    def give(stream: IO[str]) -> None:
        with suppress(BrokenPipeError), stream:
            stream.write(settings or "")

    def pass_on(stream: IO[str]) -> None:
        for line in stream:
            sys.stderr.write(line)
            last[0] = line.strip() or last[0]

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, hand_on)
    if child.stdin is not None:
        give(child.stdin)
    if child.stderr is not None:
        pass_on(child.stderr)
    code = child.wait()
    return Ended(code if code >= 0 else 128 - code, last[0])
