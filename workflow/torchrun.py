"""torchrun, but for its end: signals reach the workers, and what they end with is what it ends with.

    python -m workflow.torchrun [options of torchrun] -m MODULE ...

torchrun itself ends its workers when it is told to stop, and always fails with 1. A training that was told to stop needs the time
to save a checkpoint, and its exit code 75 has to arrive.
"""

import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType


def workers() -> list[int]:
    """The process ids of the children of this process (Linux)."""
    return [int(child) for thread in Path("/proc/self/task").iterdir() for child in (thread / "children").read_text().split()]


def hand_on(_number: int, _frame: FrameType | None) -> None:
    for worker in workers():
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGUSR1)


def main(arguments: list[str]) -> int:
    """Run torchrun; returns the exit code of the first worker that failed, 0 if none did.

    A worker that ended by itself counts before those that broke because it was gone.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # not every name that a host has no address for
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # That a worker failed is no news of its own: the worker has said why.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, hand_on)
    try:
        run.main(["--signals-to-handle", "SIGINT", *arguments])
    except ChildFailedError as error:
        rank, failure = min(error.failures.items(), key=lambda item: (item[1].exitcode < 0, item[1].timestamp))
        code = failure.exitcode
        if code < 0:
            sys.stderr.write(f"error: process {rank} was ended by {signal.Signals(-code).name}\n")
        return code if code >= 0 else 128 - code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
