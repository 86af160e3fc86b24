"""Being told to stop: by SIGTERM (a scheduler takes the machine back), SIGUSR1 (the time limit is near), SIGINT (Ctrl-C), or the
clock.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """True once a signal has asked to stop, or the time is up."""

    def __init__(self, time_limit: float | None = None) -> None:
        """`time_limit` in seconds from now."""
        self.name: str | None = None
        self.deadline = None if time_limit is None else time.monotonic() + time_limit

    def __bool__(self) -> bool:
        if self.name is None and self.deadline is not None and time.monotonic() >= self.deadline:
            self.name = "the time limit"
        return self.name is not None


@contextmanager
def stop_on_signals(time_limit: float | None = None) -> Iterator[StopRequest]:
    """Within the block these signals are noted instead of ending the process."""
    request = StopRequest(time_limit)

    def note(number: int, _: FrameType | None) -> None:
        request.name = signal.Signals(number).name

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
