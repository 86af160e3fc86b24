"""Runs of the DAG through Slurm, to be disturbed while a training is at work."""

import re
import subprocess
import sys
from pathlib import Path

from tests.pipeline import Project
from tests.slurm.cluster import run, wait

CONFIG = "tests/configs/slurm.yaml"
SLURM = ("--workflow-profile", "workflow/profiles/slurm", "--slurm-status-command", "squeue", "--slurm-keep-successful-logs")
IMPATIENT = ("--slurm-init-seconds-before-status-checks", "2", "--max-status-checks-per-second", "2")


class Line:
    """A finished project to start from and to compare with."""

    def __init__(self, finished: Project) -> None:
        self.finished = finished

    def start(self, folder: Path, *config: str) -> "Training":
        """Start the training through Slurm; `config` are key=value pairs for `execution.jobs.train`."""
        project = self.finished.copy(folder, "corpus", "bpe", "tokenize")
        jobs = f"execution={{jobs: {{train: {{{', '.join(config)}}}}}}}"
        command = ["snakemake", "train", *SLURM, *IMPATIENT, "--configfile", CONFIG, *(("--config", jobs) if config else ())]
        return Training(project, command, self.finished)


class Training:
    """A training at work on Slurm."""

    def __init__(self, project: Project, command: list[str], finished: Project) -> None:
        self.project, self.finished = project, finished
        self.output = (project.folder / "output").open("w+")
        self.process = subprocess.Popen(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            cwd=project.folder,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    def said(self) -> str:
        return (self.project.folder / "output").read_text()

    def log(self) -> str:
        """What was said in its Slurm jobs, in the order of their submission."""
        files = self.project.folder.glob("logs/slurm/rule_make_train/*/*.log")
        return "".join(file.read_text() for file in sorted(files, key=lambda file: int(file.stem)))

    def jobs(self) -> list[str]:
        """The numbers of its Slurm jobs, in the order of their submission."""
        return re.findall(r"SLURM jobid (\d+)", self.said())

    def steps(self) -> list[int]:
        """The steps of the checkpoints that there are."""
        return sorted(int(folder.name[5:]) for folder in self.project.folder.glob("state/train/*/step-*"))

    def resumed(self) -> list[int]:
        """The steps after which it went on."""
        return [int(step) for step in re.findall(r"going on after step (\d+)", self.log())]

    def await_checkpoint(self, beyond: int = 0) -> int:
        """Wait until there is a checkpoint after step `beyond`; returns its step."""
        wait("a checkpoint", lambda: self.process.poll() is not None or max(self.steps(), default=0) > beyond, 240)
        assert self.process.poll() is None, self.said() + self.log()
        return max(self.steps())

    def end(self, seconds: float = 400) -> None:
        """Wait for its end, and hold what it made to what came out undisturbed."""
        try:
            code = self.process.wait(timeout=seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            run("scancel", *self.jobs(), check=False)
        assert code == 0, self.said() + self.log()
        assert self.project.contents() == self.finished.contents()
