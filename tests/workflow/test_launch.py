"""How a training is started: alone, several on a machine, several on each of several machines."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed import run

from workflow import launch

COMMAND = ["python", "-m", "stages.train", "--config", "-", "--out", "x"]
STEP = {
    "SLURM_JOB_ID": "10007",
    "SLURM_STEP_ID": "1",
    "SLURM_NNODES": "2",
    "SLURM_NODEID": "1",
    "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.5",
}

WORKER = """\
import os, signal, sys, time
from pathlib import Path
import torch, torch.distributed as dist

what, folder = sys.argv[1], Path(sys.argv[2])
stopped = []
signal.signal(signal.SIGUSR1, lambda *_: stopped.append(1))
dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(total)
settings = sys.stdin.read() if sys.argv[4] == "-" else Path(sys.argv[4]).read_text()
(folder / f"rank-{dist.get_rank()}").write_text(f"{total.item():g} of {dist.get_world_size()}: {settings}")
dist.destroy_process_group()
if what == "wait":
    while not stopped:
        time.sleep(0.1)
    sys.exit(75)
if what == "fail" and os.environ["RANK"] == "1":
    sys.exit(3)
"""


def start(folder: Path, what: str, *options: str, **environment: str) -> "subprocess.Popen[bytes]":
    """Launch the worker above, which answers with what it learnt from the others."""
    (folder / "worker.py").write_text(WORKER)
    path = os.pathsep.join([str(folder), str(Path.cwd())])
    outside = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    worker = ["python", "-m", "worker", what, str(folder), "--config", "-"]
    command = [sys.executable, "-m", "workflow.launch", *options, "--", *worker]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env={**outside, "PYTHONPATH": path, **environment})
    assert process.stdin is not None
    process.stdin.write(b"steps: 3")
    process.stdin.close()
    return process


def test_a_step_has_one_task_on_each_node() -> None:
    command = launch.step(4, 8, 32, COMMAND)
    assert command[0] == "srun"
    assert {"--nodes=4", "--ntasks=4", "--ntasks-per-node=1", "--cpus-per-task=32"} <= set(command)
    assert command[-len(COMMAND) :] == COMMAND


def test_the_nodes_of_a_step_meet_at_the_first_one() -> None:
    command = launch.torchrun(4, STEP, COMMAND)
    assert {"--nnodes=2", "--node-rank=1", "--master-addr=10.0.0.5", "--nproc-per-node=4"} <= set(command)
    assert command[command.index("-m", 2) :] == ["-m", "--", *COMMAND[2:]]


def test_torchrun_takes_no_option_of_the_stage_for_its_own() -> None:
    given = launch.torchrun(2, {}, [*COMMAND, "--log", "file", "--node", "x"])
    understood = run.parse_args(given[given.index("workflow.torchrun") + 1 :])
    assert understood.module
    assert (understood.training_script, understood.nproc_per_node) == ("stages.train", "2")
    assert understood.training_script_args == [*COMMAND[3:], "--log", "file", "--node", "x"]


def test_two_jobs_on_a_node_meet_at_different_ports() -> None:
    ports = [
        next(part for part in launch.torchrun(1, STEP | {"SLURM_JOB_ID": job}, COMMAND) if part.startswith("--master-port"))
        for job in ("10007", "10008")
    ]
    assert len(set(ports)) == 2


def test_one_machine_needs_no_meeting_place() -> None:
    assert "--standalone" in launch.torchrun(2, {}, COMMAND)


def test_only_modules_are_started_by_torchrun() -> None:
    with pytest.raises(ValueError, match="modules"):
        launch.torchrun(2, {}, ["sleep", "1"])


def test_settings_come_from_a_file_where_several_read_them() -> None:
    assert launch.with_settings_file(COMMAND, "f.yaml") == ["python", "-m", "stages.train", "--config", "f.yaml", "--out", "x"]
    assert launch.with_settings_file(["python", "-"], "f.yaml") == ["python", "-"]


def test_one_process_is_the_command_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workflow.launch", "--", "sh", "-c", "echo $PPID; cat; exit 7"],
        input="settings",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7
    assert done.stdout == f"{os.getpid()}\nsettings"


def test_two_processes_find_each_other_and_read_the_same_settings(tmp_path: Path) -> None:
    assert start(tmp_path, "end", "--processes", "2").wait(timeout=120) == 0
    assert [(tmp_path / f"rank-{rank}").read_text() for rank in (0, 1)] == ["3 of 2: steps: 3"] * 2


def test_what_a_worker_ends_with_is_what_the_launcher_ends_with(tmp_path: Path) -> None:
    assert start(tmp_path, "fail", "--processes", "2").wait(timeout=120) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_all_processes_and_their_75_comes_back(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "wait", "--processes", "2")
    end = time.monotonic() + 120
    while len(list(tmp_path.glob("rank-*"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.2)
    process.send_signal(number)
    assert process.wait(timeout=60) == 75


def test_a_job_of_its_own_is_queued_again_and_any_other_is_not(tmp_path: Path) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    scontrol.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}

    def end(code: int, **more: str) -> int:
        command = [sys.executable, "-m", "workflow.launch", "--", "sh", "-c", f"exit {code}"]
        return subprocess.run(command, env=environment | more, check=False).returncode

    assert end(75) == 75
    assert end(1, **{launch.OWN_JOB: "1"}) == 1
    assert not (tmp_path / "said").exists()
    assert end(75, **{launch.OWN_JOB: "1"}) == 75
    assert (tmp_path / "said").read_text() == "requeue 42\n"
