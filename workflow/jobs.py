"""What a job asks a cluster for: nodes, processors, GPUs, memory and time, from settings and from the estimate of its training.

The settings of a job are those of `execution.jobs.all`, of its stage, and for a training those of its experiment, each over the
last. Memory and time that nobody set come from the estimate, as soon as it is made, and grow with every attempt: a job that died
of too little memory or time gets more of both. The names of the resources are those of Snakemake's Slurm executor.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from stages.lm.settings import Settings

LIBRARIES_MB = 1500
"""Memory of a Python process with its libraries, and of what the allocator leaves unused."""

MARGIN = 1.5
"""How much more memory and time a job asks for than the estimate says, and each attempt than the last."""

START_MINUTES = 10
"""Time to start, to verify inputs and to write the artifact."""

WHOLE_BYTES_PER_PARAMETER = 4 + 12
"""What the first process of a training by FSDP holds beside its shard, in its machine's memory: a copy of the weights, and a
checkpoint of weights and optimizer."""

CPUS = {"bpe": 8, "tokenize": 8}
"""Processors for the stages that share their work among any number of processes."""

FALLBACK = {
    "corpus": (4000, 240),
    "bpe": (8000, 480),
    "tokenizers": (4000, 120),
    "tokenize": (4000, 240),
    "estimate": (8000, 30),
    "train": (8000, 1440),
    "trial": (8000, 1440),
    "evaluate": (4000, 120),
    "decode": (4000, 60),
    "export": (4000, 60),
    "grade": (8000, 30),
}
"""Memory in MB and time in minutes by stage where neither settings nor an estimate say more; else those of a report."""

REPORT = (2000, 30)

TRAINING = ("train", "trial")
"""Stages that train."""

Estimate = Mapping[str, Any]


class JobSettings(Settings):
    """What a job asks a cluster for. Nothing here influences a result; without a cluster only `processes` counts."""

    partition: str | None = None
    """The partition; the cluster's default one if not given."""
    account: str | None = None
    """Who pays."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that the nodes must have, as for `sbatch --constraint`."""
    nodes: PositiveInt = 1
    """Machines; only training uses more than one."""
    cpus: PositiveInt | None = None
    """Processors on each node; by default what the stage makes use of, and 8 where that is any number."""
    gpus: NonNegativeInt = 0
    """GPUs on each node."""
    gpu_type: str | None = None
    """The cluster's name for the kind of GPU."""
    processes: PositiveInt | None = None
    """Processes of a training on each node; by default one for each GPU, or one."""
    memory_mb: PositiveInt | None = None
    """Memory on each node at the first attempt; by default from the estimate."""
    minutes: PositiveInt | None = None
    """Time limit of the first attempt; by default from the estimate."""
    max_minutes: PositiveInt | None = None
    """The longest time limit of the partition. A longer training saves a checkpoint and goes on in the next job."""
    warning_seconds: int = Field(default=120, ge=10)
    """How long before the time limit a training is told to save a checkpoint and stop."""
    options: str | None = None
    """Further options of sbatch."""

    def over(self, below: "JobSettings") -> "JobSettings":
        """These settings over those of `below`: what was written here counts."""
        return below.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})

    @property
    def processes_per_node(self) -> int:
        return self.processes or max(1, self.gpus)


def read_estimate(folder: Path) -> Estimate | None:
    """The numbers of an estimate, None while there is none that can be read."""
    try:
        estimate: Estimate = json.loads((folder / "stats.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return estimate


def memory_mb(stage: str, job: JobSettings, estimate: Estimate | None, attempt: int = 1) -> int:
    """Memory on each node: that of every process, and the libraries each. With FSDP the first process also holds a
    whole copy of the model, and what a checkpoint is written from."""
    first, _ = FALLBACK.get(stage, REPORT)
    if job.memory_mb:
        first = job.memory_mb
    elif estimate:
        needed = job.processes_per_node * estimate["memory_bytes"]["total"]
        if estimate["spread"].get("engine") == "fsdp":
            needed += WHOLE_BYTES_PER_PARAMETER * estimate["parameters"]["total"]
        first = job.processes_per_node * LIBRARIES_MB + int(MARGIN * needed / 2**20)
    return int(first * MARGIN ** (attempt - 1))


def minutes(stage: str, job: JobSettings, estimate: Estimate | None, attempt: int = 1) -> int:
    """The time limit, at most the longest that is allowed."""
    _, first = FALLBACK.get(stage, REPORT)
    if job.minutes:
        first = job.minutes
    elif stage in TRAINING and estimate and estimate["time"]["seconds"]:
        first = START_MINUTES + int(MARGIN * estimate["time"]["seconds"] / 60)
    return min(int(first * MARGIN ** (attempt - 1)) + (attempt > 1), job.max_minutes or 2**31)


def resources(stage: str, job: JobSettings, threads: int, estimate: Estimate | None = None, attempt: int = 1) -> dict[str, Any]:
    """What a job of `stage` asks for, by the names that Snakemake and its Slurm executor know; None is not asked for."""
    # A job that is queued again goes on in the same log.
    options = ["--open-mode=append", f"--signal=TERM@{job.warning_seconds}" if stage in TRAINING else None, job.options]
    return placement(stage, job, threads) | {
        "mem_mb": memory_mb(stage, job, estimate, attempt),
        "runtime": minutes(stage, job, estimate, attempt),
        "slurm_partition": job.partition,
        "slurm_account": job.account,
        "qos": job.qos,
        "constraint": job.constraint,
        "slurm_extra": " ".join(filter(None, options)),
    }


def placement(stage: str, job: JobSettings, threads: int) -> dict[str, Any]:
    """Nodes, processes, processors and GPUs: several for training, one node and at most one GPU for any other stage."""
    several = stage in TRAINING
    nodes, gpus = (job.nodes, job.gpus) if several else (1, min(job.gpus, 1))
    asked: dict[str, Any] = {
        "nodes": nodes,
        "processes": job.processes_per_node if several else 1,
        "cpus_per_task": job.cpus or CPUS.get(stage, threads),
        "gres": ":".join(filter(None, ("gpu", job.gpu_type, str(gpus)))) if gpus else None,
    }
    # On several nodes the job starts a step across them itself (workflow/launch.py), with one task on each; `mpi` keeps the
    # executor from starting one, and no tasks for each GPU keeps it from asking for several times as many.
    across = {"mpi": "srun", "tasks": job.nodes, "tasks_per_gpu": 0}
    return asked | (across if nodes > 1 else dict.fromkeys(across))


RESOURCES = tuple(resources("train", JobSettings(), 1))
"""The names of all resources."""
