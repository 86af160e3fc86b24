"""Start a stage as its job's resources call for: one process, several on this node, or several on each of several nodes.

    python -m workflow.launch [--nodes N] [--processes P] [--cpus C] -- python -m stages.train --config - ...

One process is the command itself. Several are started by torchrun, and several nodes by `srun` with one torchrun on each, which
find each other by Slurm's variables. Outside Slurm there is one node.

A training that was told to stop, because the time limit is near or the machine is needed, saves a checkpoint and ends with exit
code 75. If it has a Slurm job to itself, that job goes back into the queue under its old number and goes on from there.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from stages.lm import children
from stages.lm.errors import Stopped

OWN_JOB = "STAGECRAFT_OWN_JOB"
"""Set in the environment of a job that runs one stage and nothing else; only such a job may be put back into the queue."""

FIRST_PORT, PORTS = 20000, 10000  # below those that systems give to outgoing connections
LAST_TASK_SECONDS = 120  # how long the other nodes may take to save and end once one has ended


def step(nodes: int, processes: int, cpus: int, command: Sequence[str]) -> list[str]:
    """The step of the current Slurm job that starts `command` on every node, with one task on each."""
    own = ["--nodes", "1", "--processes", str(processes), "--within-step", "--", *command]
    placed = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={cpus}"]
    return ["srun", *placed, f"--wait={LAST_TASK_SECONDS}", sys.executable, "-m", "workflow.launch", *own]


def torchrun(processes: int, environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """`processes` copies of `command` (python -m MODULE ...) on this node, which meet those of the other nodes of the Slurm step.

    They meet where the step was started from, which is the first node, at a port that follows from the job's number.
    """
    if command[:2] != ["python", "-m"]:
        raise ValueError(f"torchrun starts Python modules, not {' '.join(command)!r}")
    nodes = int(environment.get("SLURM_NNODES", 1))
    if nodes > 1:
        port = FIRST_PORT + (int(environment["SLURM_JOB_ID"]) + int(environment["SLURM_STEP_ID"])) % PORTS
        meeting = [
            f"--nnodes={nodes}",
            f"--node-rank={environment['SLURM_NODEID']}",
            f"--master-addr={environment['SLURM_LAUNCH_NODE_IPADDR']}",
            f"--master-port={port}",
        ]
    else:
        meeting = ["--standalone"]
    # Without -- torchrun would look for options of its own among those of the module.
    return [sys.executable, "-m", "workflow.torchrun", *meeting, f"--nproc-per-node={processes}", "-m", "--", *command[2:]]


def with_settings_file(command: Sequence[str], file: str) -> list[str]:
    """The command with its settings read from `file` instead of standard input, which several processes cannot share."""
    given = list(command)
    if "--config" in given[:-1] and given[given.index("--config") + 1] == "-":
        given[given.index("--config") + 1] = file
    return given


def requeue(job: str) -> None:
    """Put the Slurm job that this process runs in back into the queue; where that is not allowed, Snakemake submits another."""
    if subprocess.run(["scontrol", "requeue", job], check=False).returncode:
        sys.stderr.write(f"job {job} cannot be put back into the queue; it ends with exit code {Stopped.code} for a retry\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workflow.launch", description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=1, metavar="N")
    parser.add_argument("--processes", type=int, default=1, metavar="P", help="on each node")
    parser.add_argument("--cpus", type=int, default=1, metavar="C", help="on each node")
    parser.add_argument("--within-step", action="store_true", help="this is one of the tasks of a Slurm step")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    command, job = list(args.command), os.environ.get("SLURM_JOB_ID")
    own_job = job is not None and OWN_JOB in os.environ and not args.within_step
    if args.nodes > 1 and job is not None:
        command = step(args.nodes, args.processes, args.cpus, command)
    elif args.within_step or args.processes > 1:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as settings:
            settings.write(sys.stdin.read())
            settings.flush()
            code = children.run(torchrun(args.processes, os.environ, with_settings_file(command, settings.name))).code
        return ended(code, job if own_job else None)
    if not own_job:
        os.execvp(command[0], command)
    return ended(children.run(command).code, job)


def ended(code: int, job: str | None) -> int:
    """The exit code to end with; a training that has saved a checkpoint in a `job` of its own is queued again."""
    if code == Stopped.code and job is not None:
        requeue(job)
    return code


if __name__ == "__main__":
    sys.exit(main())
