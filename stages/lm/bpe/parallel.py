"""Work on a stream of items in several processes or threads: results in the order of the items, and few items in flight."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """The cores that this process may use, which under a batch system are fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None, threads: bool = False
) -> Iterator[Result]:
    """`map(function, items)` over processes, or threads (None: as many as cores), holding at most three items for each.

    Processes get `function` and the items pickled; with one worker everything happens here. Processes are started afresh
    instead of forked, for a fork of a process that has threads may stop for ever.
    """
    workers = workers or available_cores()
    if workers == 1:
        yield from map(function, items)
        return
    executor: Executor
    if threads:
        executor = ThreadPoolExecutor(workers)
    else:
        executor = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    with executor as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == 3 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
