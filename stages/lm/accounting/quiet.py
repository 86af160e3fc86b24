"""Whether a machine did other work while it was measured; and measuring again, until it did not.

Two things tell. The system knows how long its processors were busy, and a process how long it was: the rest was others', or the
host's of a virtual machine. And repetitions of the same work take longer than the fastest of them where something interferes that
the system does not see.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from stages.lm.errors import UserError

T = TypeVar("T")

log = logging.getLogger("stagecraft")

ATTEMPTS = 3
TAKEN = 0.05
"""Seconds a second that others may take from the processors that are measured: a burst of it spoils one repetition, not all."""
SPREAD = 1.2
"""How much longer than the fastest repetition the middle one may take."""


class Reading(NamedTuple):
    """The clocks, in seconds."""

    now: float
    busy: float
    """Of all processors that this process may use, by whomever; 0 where the system does not say."""
    own: float
    """Of this process on them."""
    processors: int = 1


def read() -> Reading:
    """The clocks of this machine; only Linux says what others do."""
    try:
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = [line.split() for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines()]
    except (AttributeError, OSError):
        return Reading(time.perf_counter(), 0.0, time.process_time())
    processors = [list(map(int, fields)) for name, *fields in lines if name in usable]
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user
    busy = sum(sum(fields[:8]) - fields[3] - fields[4] for fields in processors) / os.sysconf("SC_CLK_TCK")
    return Reading(time.perf_counter(), busy, time.process_time(), len(processors))


def taken(before: Reading, after: Reading, threads: int) -> float:
    """Seconds a second that others took from `threads` processors; those left over may do what they like."""
    others = (after.busy - before.busy) - (after.own - before.own)
    return max(0.0, others / (after.now - before.now) - max(0, after.processors - threads))


def undisturbed(measure: Callable[[], T], spread: Callable[[T], float], threads: int, clocks: Callable[[], Reading] = read) -> T:
    """What `measure` finds while the machine does nothing else, tried a few times.

    spread: of what was found, the middle repetition over the fastest. Raises UserError where the machine never was at rest.
    """
    for attempt in range(1, ATTEMPTS + 1):
        before = clocks()
        found = measure()
        others, apart = taken(before, clocks(), threads), spread(found)
        if others <= TAKEN and apart <= SPREAD:
            return found
        seen = (
            f"other work took {others:.0%} of a processor, and half of the repetitions took {apart - 1:.0%} more than the fastest"
        )
        log.info("measured beside other work (attempt %d of %d): %s", attempt, ATTEMPTS, seen)
    raise UserError(f"this machine is not at rest, so nothing was kept of {ATTEMPTS} measurements: {seen}; try again later")
