"""A Slurm cluster on one machine, for tests: munged, slurmctld and several slurmd with counterfeit GPUs, no cgroups needed.

    python -m tests.slurm.cluster up [DIR] [--install]     start it; --install fetches Slurm by apt first
    python -m tests.slurm.cluster down [DIR]               stop what was started, and nothing else

Needs root, and Slurm's packages (Debian: slurm-wlm munge). While it is up, sbatch and `snakemake --executor slurm` just work:
/etc/slurm/slurm.conf and gres.conf are links into DIR, because the jobs of Snakemake's executor lose SLURM_CONF.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ETC = Path("/etc/slurm")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
CTLD_PORT = 16817
PACKAGES = "slurm-wlm munge"

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/ctld
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
DefMemPerCPU=500
MinJobAge=300
InactiveLimit=0
KillWait=10
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
NodeName=DEFAULT CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory} \
Gres=gpu:fake:{gpus} State=UNKNOWN
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=high Nodes={names} MaxTime=INFINITE State=UP PriorityTier=20 PreemptMode=OFF
PartitionName=scavenge Nodes={names} MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
"""


class Cluster:
    """A one-machine cluster whose files are in `folder`; nodes are named n1, n2, ..."""

    def __init__(self, folder: Path, nodes: int = 2, cpus: int = 8, memory: int = 16000, gpus: int = 2) -> None:
        self.folder, self.nodes, self.cpus, self.memory, self.gpus = folder, nodes, cpus, memory, gpus

    def start(self) -> None:
        """Start everything and wait until all nodes are idle."""
        self.configure()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid", "seed-file": "munge.seed"}
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        run("munged", "--force", f"--log-file={self.folder / 'munged.log'}", *options)
        self.start_controller()
        for number in range(1, self.nodes + 1):
            self.start_node(f"n{number}")
        wait("nodes are idle", lambda: len(run("sinfo", "-hN", "-p", "main", "-t", "idle", "-o", "%N").split()) == self.nodes)

    def configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        names = [f"n{number}" for number in range(1, self.nodes + 1)]
        for folder in (self.folder, self.folder / "ctld", *(self.folder / f"spool-{name}" for name in names), ETC):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
        placed = {"host": host, "port": CTLD_PORT, "folder": self.folder, "cpus": self.cpus, "memory": self.memory}
        nodes = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={CTLD_PORT + 10 + number}"
            for number, name in enumerate(names)
        ]
        text = CONFIGURATION.format(**placed, gpus=self.gpus, nodes="\n".join(nodes), names=",".join(names))
        (self.folder / "slurm.conf").write_text(text)
        # Any character device passes for a GPU, so that CUDA_VISIBLE_DEVICES is set as on a real node.
        devices = [f"/dev/tty[{1 + number * self.gpus}-{(number + 1) * self.gpus}]" for number in range(self.nodes)]
        gres = [f"NodeName={name} Name=gpu Type=fake File={device}\n" for name, device in zip(names, devices, strict=True)]
        (self.folder / "gres.conf").write_text("".join(gres))
        for name in ("slurm.conf", "gres.conf"):
            if (ETC / name).exists() and not (ETC / name).is_symlink():
                raise RuntimeError(f"{ETC / name} is the file of a real cluster")
            (ETC / name).unlink(missing_ok=True)
            (ETC / name).symlink_to(self.folder / name)

    def start_controller(self) -> None:
        run("slurmctld")
        wait("slurmctld answers", lambda: "is UP" in run("scontrol", "ping", check=False))

    def start_node(self, name: str) -> None:
        run("slurmd", "-N", name)
        wait(f"{name} is registered", lambda: (self.folder / f"slurmd-{name}.pid").exists())

    def stop_controller(self) -> None:
        """End slurmctld; jobs go on."""
        self.end("slurmctld")

    def crash_node(self, name: str) -> None:
        """End a node with all that runs on it, as a power failure would."""
        for daemon in [*step_daemons(self.folder / f"spool-{name}"), int((self.folder / f"slurmd-{name}.pid").read_text())]:
            for process in (daemon, *descendants(daemon)):
                kill(process, signal.SIGKILL)
        (self.folder / f"slurmd-{name}.pid").unlink()
        run("scontrol", "update", f"nodename={name}", "state=down", "reason=crashed")

    def repair_node(self, name: str) -> None:
        self.start_node(name)
        run("scontrol", "update", f"nodename={name}", "state=resume", check=False)
        wait(f"{name} is idle", lambda: name in run("sinfo", "-hN", "-t", "idle", "-o", "%N").split())

    def end(self, daemon: str, number: signal.Signals = signal.SIGTERM) -> None:
        file = self.folder / f"{daemon}.pid"
        if not file.exists():
            return
        pid = int(file.read_text())
        kill(pid, number)
        wait(f"{daemon} has ended", lambda: not Path(f"/proc/{pid}").exists())
        file.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop what was started."""
        run("scancel", "--user=root", check=False)
        for number in range(self.nodes, 0, -1):
            self.end(f"slurmd-n{number}")
        self.end("slurmctld")
        self.end("munged")
        for name in ("slurm.conf", "gres.conf"):
            if (ETC / name).is_symlink() and (ETC / name).readlink() == self.folder / name:
                (ETC / name).unlink()


def missing() -> str | None:
    """Why there can be no cluster here; None if there can."""
    absent = [program for program in PROGRAMS if not shutil.which(program)]
    if absent:
        return f"no {', '.join(absent)} here (Debian: apt-get install {PACKAGES})"
    if os.geteuid():
        return "a cluster for tests is started by root"
    if any((ETC / name).exists() for name in ("slurm.conf", "gres.conf")):
        return f"{ETC} holds the configuration of a cluster already"
    return None


def run(*command: str, check: bool = True) -> str:
    """The output of a command."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


def wait(what: str, happens: Callable[[], object], seconds: float = 60, every: float = 0.2) -> None:
    """Wait until something happens. Raises TimeoutError if it doesn't."""
    end = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds:g} s still not: {what}")
        time.sleep(every)


def step_daemons(spool: Path) -> list[int]:
    """The slurmstepd of a node, which outlive its slurmd: those that listen at a socket in its spool folder."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    sockets = {f"socket:[{line.split()[6]}]" for line in lines if f"{spool}/" in line}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().startswith("slurmstepd"):
                held = {os.readlink(file) for file in (process / "fd").iterdir()}  # noqa: PTH115
                found += [int(process.name)] if held & sockets else []
        except OSError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    """All processes below one, the lowest first."""
    try:
        children = [int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    except OSError:
        return []
    return [below for child in children for below in (*descendants(child), child)]


def kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.slurm.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("/tmp/stagecraft-slurm"))
    parser.add_argument("--install", action="store_true", help="install Slurm's packages by apt first")
    args = parser.parse_args()
    if args.command == "down":
        Cluster(args.folder.resolve()).stop()
        return
    if args.install:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES.split()], check=True)
    reason = missing()
    if reason:
        sys.exit(f"error: {reason}")
    Cluster(args.folder.resolve()).start()
    sys.stdout.write(run("sinfo", "-N", "-o", "%N %P %t %c %m %G"))


if __name__ == "__main__":
    main()
