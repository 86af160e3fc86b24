"""One process at a time."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("stagecraft")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process is at work on this file or folder. The system lifts the lock when a process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            log.warning("%s: no locks here (%s); take care that no other process is at work on it", path, error.strerror)
        yield
