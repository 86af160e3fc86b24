"""What a run really takes: a few steps in a process of their own, and the allocator's own record of their peak.

On a CPU that is the sum of the allocations and releases that torch's profiler records; on a GPU what `torch.cuda` counts. The
process may be given a limit: then running out of memory is an answer, whichever way it ends.

Libraries are loaded once: every measurement is a fork of a process that has loaded them and done nothing.
"""

import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from stages.lm.accounting.batches import Lengths, random_batch
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.training import machine
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainSettings

STEPS = 2
"""The first makes the optimizer's state."""

OUT_OF_MEMORY = (77, -signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS)
"""How a process ends that has no memory left: by its own exit code, or by a signal from the system or a library."""


class Steps(NamedTuple):
    """What a process of its own is to do."""

    settings: dict[str, Any]
    """Of the train stage, resolved."""
    vocab_size: int
    lengths: tuple[float, float] | None = None
    """Of a translator's sentences."""
    limit: int | None = None
    """Bytes that the tensors may take; by default there is no limit."""


def peak_bytes(steps: Steps) -> int | None:
    """The most that was in use at once, as a fresh process finds; None where it ran out of memory.

    Under a limit nothing is recorded, as that takes memory too: then a number only says that the steps ran. Raises RuntimeError
    where the process failed for another reason.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(steps) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    if not answer:
        _server.cache_clear()
        raise RuntimeError(f"the process from which measurements are forked has ended with {server.wait()}")
    code, peak, said = json.loads(answer)
    if code == 0:
        return int(peak)
    if code in OUT_OF_MEMORY:
        return None
    raise RuntimeError(f"steps in a process of their own failed with {code}: {said}")


@cache
def _server() -> "subprocess.Popen[str]":
    """The process from which others are forked; it ends when this one does."""
    command = [sys.executable, "-m", "stages.lm.accounting.measured"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def serve() -> None:
    """Answer each line of standard input, `Steps` as JSON, with a line: how a fork that did them ended, the peak that it found,
    and the end of what it said."""
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as found, tempfile.TemporaryFile("w+", errors="replace") as said:
            child = os.fork()
            if not child:
                for stream in (sys.stdout, sys.stderr):  # what libraries say is no answer
                    os.dup2(said.fileno(), stream.fileno())
                try:
                    found.write(str(take(Steps(*json.loads(line)))))
                    found.flush()
                except SystemExit as ended:
                    os._exit(cast(int, ended.code))
                except BaseException:  # noqa: BLE001, as where nothing catches it
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            found.seek(0)
            said.seek(0)
            answer = os.waitstatus_to_exitcode(status), found.read(), said.read()[-2000:]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def take(steps: Steps) -> int:
    """Do the steps in this process; the recorded peak in bytes, 0 under a limit."""
    settings = parse(TrainSettings, steps.settings, "settings")
    lengths = Lengths(*steps.lengths) if steps.lengths else None
    device = machine.prepare(settings.training)

    def work(train: TrainSettings) -> None:
        model = cast(nn.Module, registry.build(train.model, steps.vocab_size, train.training.seed))
        learner = Learner(model, train.training, device)
        batch = random_batch(train.model, train.training, steps.vocab_size, lengths)
        for step in range(STEPS):
            learner.step(batch._replace(fresh=batch.fresh and step == 0), train.training.learning_rate)

    if steps.limit is not None:
        machine.map_each_tensor()  # so that the first steps leave nothing in the heap
        work(with_batch(settings, 1))  # threads start and libraries load what they need, which is not the run's
        limit_memory(steps.limit, device)
        try:
            work(settings)
        except (RuntimeError, MemoryError) as error:  # libraries name it in many ways; a batch of one has just run
            sys.stderr.write(f"{error}\n")
            sys.exit(OUT_OF_MEMORY[0])
        return 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work(settings)
        return torch.cuda.max_memory_allocated(device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        work(settings)
    return recorded_peak(profiler)


def with_batch(settings: TrainSettings, size: int) -> TrainSettings:
    """The same run with another batch, all of it at once."""
    return settings.with_training({"batch_size": size, "micro_batch_size": None})


def recorded_peak(profiler: Any) -> int:
    """The highest sum of the allocations (positive) and releases (negative) that a profiler recorded, in bytes."""
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = highest = 0
    for event in sorted(events, key=lambda event: cast(int, event.start_ns())):
        now += event.nbytes()
        highest = max(highest, now)
    return highest


def limit_memory(limit: int, device: torch.device) -> None:
    """Let this process take so many bytes more than it has, on the device.

    On a CPU that limits what malloc may ask for. So that this is what tensors take, it keeps nothing unused: a training does, and
    needs that much more.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))
        return
    gc.collect()
    machine.map_each_tensor()
    data = next(line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith("VmData"))
    allowed = 1024 * int(data.split()[1]) + limit
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))


if __name__ == "__main__":
    import torch._dynamo  # which optimizers else load in every fork

    os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    serve()
