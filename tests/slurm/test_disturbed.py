"""Trainings on a real Slurm, disturbed in every way that a cluster has: each ends with the bytes of an undisturbed one.

`STAGECRAFT_SLURM=all pytest tests/slurm` runs all of them; without the variable only the first does.
"""

import re
import time
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, run, wait
from tests.slurm.line import Line, Training

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]


def stopped(training: Training) -> list[int]:
    """The steps after which it was told to stop and saved a checkpoint."""
    return [int(step) for step in re.findall(r"after step (\d+) of \d+; the same command goes on", training.log())]


def environment_of(module: str, folder: Path) -> dict[str, str]:
    """The environment of the process that runs a stage's module in a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[1:3] == [b"-m", module.encode()] and (process / "cwd").readlink() == folder:
                entries = (process / "environ").read_bytes().decode().split("\0")
                return dict(entry.partition("=")[::2] for entry in entries if entry)
        except OSError:
            continue
    return {}


def test_a_signal_and_a_requeue_lose_no_step(line: Line, tmp_path: Path) -> None:
    """SIGTERM, as before the time limit: saved, queued again under the same number. Then the same by `scontrol requeue`."""
    training = line.start(tmp_path / "run", "gpus: 1")
    step = training.await_checkpoint()
    assert environment_of("stages.train", training.project.folder)["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    (job,) = training.jobs()
    assert "gres:gpu:1" in run("scontrol", "show", "job", job).replace("=", ":")
    run("scancel", "--signal=TERM", job)
    wait("the training has stopped", lambda: stopped(training), 60)
    step = training.await_checkpoint(beyond=stopped(training)[0])
    run("scontrol", "requeue", job)
    training.end()
    assert training.jobs() == [job]
    first, second = training.resumed()
    assert first == stopped(training)[0]
    assert second >= step


@pytest.mark.long_on_slurm
def test_a_crashed_node_costs_no_more_than_since_the_last_checkpoint(cluster: Cluster, line: Line, tmp_path: Path) -> None:
    training = line.start(tmp_path / "run")
    step = training.await_checkpoint()
    (job,) = training.jobs()
    node = run("squeue", "-h", "-j", job, "-o", "%N").strip()
    cluster.crash_node(node)
    try:
        training.end()
    finally:
        cluster.repair_node(node)
    assert training.jobs() == [job]
    assert training.resumed()[0] >= step


@pytest.mark.long_on_slurm
def test_a_restarted_controller_loses_nothing(cluster: Cluster, line: Line, tmp_path: Path) -> None:
    training = line.start(tmp_path / "run")
    training.await_checkpoint()
    cluster.stop_controller()
    time.sleep(5)
    cluster.start_controller()
    training.end()
    assert len(training.jobs()) == 1
    assert training.resumed() == []


@pytest.mark.long_on_slurm
def test_a_job_of_higher_priority_takes_the_place_for_a_while(line: Line, tmp_path: Path) -> None:
    training = line.start(tmp_path / "run", "partition: scavenge")
    training.await_checkpoint()
    urgent = run(
        "sbatch", "--parsable", "-p", "high", "-N", "2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 3"
    ).strip()
    wait("the urgent job has ended", lambda: not run("squeue", "-h", "-j", urgent, "-t", "PD,R", check=False).strip(), 120)
    training.end()
    assert len(training.jobs()) == 1
    assert training.resumed() == stopped(training)


@pytest.mark.long_on_slurm
def test_a_time_limit_that_is_too_short_is_lived_with(line: Line, tmp_path: Path) -> None:
    """A minute, warned after ten seconds: as many turns as it takes, each from where the last one stopped."""
    training = line.start(tmp_path / "run", "minutes: 1", "warning_seconds: 50")
    training.end(900)
    assert training.resumed() == stopped(training)
    assert stopped(training) or len(training.jobs()) > 1, "it was faster than its time limit"


@pytest.mark.long_on_slurm
def test_a_memory_limit_that_is_too_small_is_raised(line: Line, tmp_path: Path) -> None:
    training = line.start(tmp_path / "run", "memory_mb: 500")
    training.end(900)
    first, *more = training.jobs()
    assert more
    asked = [int(run("squeue", "-h", "-j", job, "-t", "all", "-o", "%m").strip().rstrip("M")) for job in (first, *more)]
    assert asked[:2] == [500, 750]
