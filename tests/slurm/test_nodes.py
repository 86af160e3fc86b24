"""One training on two nodes of a real Slurm: all processes find each other, and the loss of a node is not the end."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, run, wait
from workflow.launch import OWN_JOB

pytestmark = [pytest.mark.slow, pytest.mark.long_on_slurm]

WORKER = """\
import datetime, os, signal, sys, time
from pathlib import Path
import torch, torch.distributed as dist

folder, steps = Path(sys.argv[1]), 60
stop = []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda *_: stop.append(1))
dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=30))
rank, saved = dist.get_rank(), folder / "checkpoint"
step = int(saved.read_text()) if saved.exists() else 0
with (folder / f"started-{rank}").open("a") as log:
    log.write(f"{step} {dist.get_world_size()} {os.environ['SLURMD_NODENAME']} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
dist.barrier()
while step < steps:
    time.sleep(0.2)
    told = torch.tensor([step + 1.0, float(len(stop))])
    dist.all_reduce(told)
    assert told[0] == (step + 1) * dist.get_world_size()
    step += 1
    if rank == 0:
        saved.write_text(str(step))
    if told[1]:
        break
dist.barrier()
dist.destroy_process_group()
sys.exit(0 if step == steps else 75)
"""


def submit(folder: Path) -> str:
    """A training of two processes on each of two nodes, as the rule starts it."""
    (folder / "worker.py").write_text(WORKER)
    launch = f"{sys.executable} -m workflow.launch --nodes 2 --processes 2 --cpus 2 -- python -m worker {folder}"
    command = f"export PYTHONPATH={folder}:{Path.cwd()} PATH={Path(sys.executable).parent}:$PATH {OWN_JOB}=1; exec {launch}"
    asked = ["--nodes=2", "--ntasks=2", "--cpus-per-task=2", "--gres=gpu:2", "--mem=3000", "--time=10", "--requeue"]
    output = f"--output={folder}/output"
    return run(
        "sbatch", "--parsable", *asked, output, "--open-mode=append", f"--wrap={shlex.join(['bash', '-c', command])}"
    ).strip()


def started(folder: Path, rank: int = 0) -> list[list[str]]:
    """For each start: the step, how many processes there are, the node, its GPUs."""
    file = folder / f"started-{rank}"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def state(job: str) -> str:
    return run("squeue", "-h", "-j", job, "-t", "all", "-o", "%T").strip()


def step_of(folder: Path) -> int:
    return int((folder / "checkpoint").read_text() or 0) if (folder / "checkpoint").exists() else 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.environ.pop("SLURM_JOB_ID", None)
    return tmp_path


@pytest.mark.usefixtures("cluster")
def test_two_nodes_train_together_and_stop_together(folder: Path) -> None:
    job = submit(folder)
    wait("it is at work", lambda: step_of(folder) > 3, 180)
    assert [started(folder, rank)[0][1:] for rank in range(4)] == [["4", node, "0,1"] for node in ("n1", "n1", "n2", "n2")]
    run("scancel", "--signal=TERM", job)
    wait("it goes on", lambda: len(started(folder)) == 2, 180)
    wait("it ends", lambda: state(job) in ("COMPLETED", "FAILED"), 180)
    assert state(job) == "COMPLETED", (folder / "output").read_text()
    assert step_of(folder) == 60
    assert 3 < int(started(folder)[1][0]) < 60


def test_the_loss_of_a_node_costs_no_more_than_since_the_last_checkpoint(cluster: Cluster, folder: Path) -> None:
    job = submit(folder)
    wait("it is at work", lambda: step_of(folder) > 3, 180)
    cluster.crash_node("n2")
    before = step_of(folder)
    wait("it is queued again", lambda: state(job) == "PENDING", 180)
    cluster.repair_node("n2")
    wait("it ends", lambda: state(job) in ("COMPLETED", "FAILED"), 240)
    assert state(job) == "COMPLETED", (folder / "output").read_text()
    assert step_of(folder) == 60
    assert int(started(folder)[1][0]) in (before, before + 1)
