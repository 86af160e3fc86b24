"""The memory that is free for a training, on the device that it will use."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from stages.lm.training.settings import TrainingSettings

SPARED = 0.9
"""The share of the free memory that a run may take where no limit is given."""


def spare_memory(training: TrainingSettings) -> int:
    """Bytes that this process may take for tensors, by what is free now; processes that torchrun starts share a host's memory."""
    if training.device != "cpu" and torch.cuda.is_available():
        return int(SPARED * torch.cuda.mem_get_info()[0])
    return int(SPARED * host_memory()) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def host_memory(root: Path = Path("/")) -> int:
    """Bytes that are free on the host below `root`, for this process."""
    lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
    available = 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return min([available, *left_in_groups(root)])


def left_in_groups(root: Path) -> Iterator[int]:
    """Bytes that the control groups (version 2) of this process still allow: those of containers and of Slurm's jobs.

    What a group keeps of files counts as free, since it is given up where memory is short.
    """
    lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    top = root / "sys/fs/cgroup"
    own = next((top / line.removeprefix("0::/") for line in lines if line.startswith("0::/")), top)
    for group in (own, *own.parents):
        if group.is_relative_to(top) and (group / "memory.max").is_file():
            limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
            files = next(line for line in (group / "memory.stat").read_text().splitlines() if line.startswith("inactive_file"))
            if limit != "max":
                yield max(0, int(limit) - int(used) + int(files.split()[1]))
