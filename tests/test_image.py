"""The image is what its page says: built by its command, with the pinned packages; the main job runs in it without a network."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

BUILDERS = ("docker", "podman")
ASKED = "STAGECRAFT_IMAGE"


def builder() -> str:
    """The program that builds and runs images here; skips where there is none, or nobody asked for minutes of building."""
    found = next((name for name in BUILDERS if shutil.which(name)), None)
    if found is None:
        pytest.skip(f"no {' or '.join(BUILDERS)} here")
    if ASKED not in os.environ:
        pytest.skip(f"builds an image; runs with {ASKED}= (or {ASKED}='more options of build')")
    return found


def test_what_the_image_copies_is_let_through_and_exists(root: Path) -> None:
    lines = (root / ".dockerignore").read_text().split("\n")
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert all((root / name).exists() for name in let_through)
    copied = re.findall(r"^COPY (?!--from)(\S+?)/? ", (root / "docker/Dockerfile").read_text(), re.MULTILINE)
    assert copied
    assert set(copied) <= let_through | {"."}


def test_the_image_installs_what_the_project_pins(root: Path) -> None:
    text = (root / "docker/Dockerfile").read_text()
    default = re.search(r"ARG REQUIREMENTS=(\S+)", text)
    assert default is not None
    installed = {f"envs/{default[1]}", *re.findall(r"-r (envs/\S+\.txt)", text)}
    assert installed == {"envs/cpu.txt", "envs/cuda.txt"}
    assert all((root / name).is_file() for name in installed)
    assert text.count("pip install") == len(installed)


def test_the_page_builds_the_targets_that_there_are(root: Path) -> None:
    page = (root / "docker/README.md").read_text()
    targets = re.findall(r"^FROM \S+ AS (\S+)$", (root / "docker/Dockerfile").read_text(), re.MULTILINE)
    assert set(re.findall(r"--target (\S+)", page)) == {"cpu", "cuda"} <= set(targets)
    assert targets[-1] == "cpu", "what a build without --target makes"


@pytest.mark.slow
def test_the_main_job_runs_in_the_image_without_a_network(root: Path, tmp_path: Path) -> None:
    program = builder()
    page = (root / "docker/README.md").read_text()
    build, run = (
        next(shlex.split(line) for line in page.splitlines() if line.startswith(f"    docker {verb}"))
        for verb in ("build", "run")
    )
    options = shlex.split(os.environ[ASKED])
    subprocess.run([program, "build", *options, *build[2:]], cwd=root, check=True)
    (tmp_path / "results").mkdir()
    words = [word.replace("$PWD", str(tmp_path)).replace("$(id -u):$(id -g)", f"{os.getuid()}:{os.getgid()}") for word in run[2:]]
    subprocess.run([program, "run", *words, "make", "run", "CONFIG=tests/configs/tiny.yaml"], check=True)
    assert len(list(tmp_path.glob("results/report/*/report.html"))) == 1
