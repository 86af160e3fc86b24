"""Work on a stream of items in several processes: results in the order of the items, and few items in flight."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """The cores that this process may use, which under a batch system are fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], processes: int | None = None) -> Iterator[Result]:
    """`map(function, items)` over `processes` processes (None: all cores), holding at most three items for each.

    `function` and the items are pickled. With one process everything happens in this one. New processes are started afresh
    instead of forked, for a fork of a process that has threads may stop for ever.
    """
    processes = processes or available_cores()
    if processes == 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == 3 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
