"""A fresh copy of the project to run and to change, and what its runs say."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = "tests/configs/tiny.yaml"
COMPILED = ("stages/lm/bpe/compiled", "stages/lm/models/ngram/compiled")


def tracked() -> list[str]:
    """The files of the project; without git, as in an image, all but what runs leave behind."""
    if not (ROOT / ".git").exists():
        ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().split()}
        files = [file.relative_to(ROOT) for file in ROOT.rglob("*") if file.is_file()]
        return [str(file) for file in files if not ignored & set(file.parts)]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


class Project:
    """A copy of the tracked files, as a clone would have them, with the environment of the running tests.

    Code that is compiled once for a checkout is not compiled for each copy: their folders lead to the one of the tests.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in tracked():
            target = folder / name
            if name.startswith(COMPILED):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        for compiled in COMPILED:
            (folder / compiled).symlink_to(ROOT / compiled)
        (folder / ".venv").symlink_to(sys.prefix)

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """The project that is in a folder already."""
        project = cls.__new__(cls)
        project.folder = folder
        return project

    def copy(self, folder: Path, *stages: str) -> "Project":
        """This project in another folder, with its artifacts of these stages alone."""
        own = shutil.ignore_patterns("results", "state", "logs", ".snakemake", "wandb")
        shutil.copytree(self.folder, folder, symlinks=True, ignore=own)
        for stage in stages:
            shutil.copytree(self.folder / "results" / stage, folder / "results" / stage)
        return Project.at(folder)

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project as a user with its environment on the path would."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        variables = {**outside, "PATH": path, **environment}
        done = subprocess.run(
            command, cwd=self.folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def snakemake(self, *arguments: str, config: str = TINY, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", "--cores", "2", "--configfile", config, *arguments, check=check)

    def would_run(self, *arguments: str, config: str = TINY) -> set[str]:
        """The stages that have something to do."""
        done = self.snakemake("-n", *arguments, config=config)
        return set(re.findall(r"^make_(\w+) +\d+$", done.stdout + done.stderr, flags=re.MULTILINE))

    def contents(self) -> dict[str, str]:
        """The hash over the deterministic files of every artifact."""
        manifests = sorted(self.folder.glob("results/*/*/manifest.json"))
        found = {path.parent.name: json.loads(path.read_text()) for path in manifests}
        return {f"{manifest['stage']}/{name}": manifest["content"] for name, manifest in found.items()}

    def replace(self, file: str, old: str, new: str) -> None:
        """Change the text of a file; it must hold what is to be changed."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1))
