"""Looking at files of others in a process that may take only so much time and memory: a small file can ask for a lot of both."""

import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

import torch

from stages.lm.grading.case import Case

SECONDS = 300


def bounded(name: str, look: Callable[[], list[Case]], memory_mb: int) -> list[Case]:
    """What `look` finds; one case with the name of the check where it does not come to an end."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(look, sending, memory_mb), daemon=True)
    process.start()
    sending.close()
    assert process.pid is not None
    try:
        found = json.loads(receiving.recv_bytes()) if receiving.poll(SECONDS) else None
    except EOFError:
        found = None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # and what it has started
    process.join()
    receiving.close()
    if found is None:
        return [Case(name, f"cannot be looked at within {SECONDS} s and {memory_mb} MiB")]
    return [Case(*case) for case in found]


def _send(look: Callable[[], list[Case]], sending: Connection, memory_mb: int) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    torch.set_num_threads(1)  # a fork has none of the threads for which its parent's pool would wait
    sending.send_bytes(json.dumps([(case.name, case.fault) for case in look()]).encode())
