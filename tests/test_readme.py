"""Every command of the README and its pages is run, on a small config in place of the embedded default."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.pipeline import ROOT, TINY, Project

pytestmark = pytest.mark.slow

PLACEHOLDER = re.compile(r"results/(\w+)/([\w-]+)-…")
PARTS = ("evaluation", "training", "hub", "inference", "models/huggingface", "sweeps", "scaling", "grading",
         "accounting")  # fmt: skip
PAGES = ("README.md", *(f"stages/lm/{part}/README.md" for part in PARTS))
ONLY_PLANNED = ("--configfile", "--config ")
"""Commands that would download a corpus or train for long are planned, not run."""
ONLY_EXPLAINED = ("stages.estimate profile", "benchmarks/estimates.py")
"""Commands that measure a machine at rest, as none is that runs tests, only say how they are called."""


def commands() -> list[str]:
    """The indented lines of the pages that begin like a command, without their remarks."""
    pages = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    lines = re.findall(r"^    ((?:make|snakemake|python) ?.*)$", pages, re.MULTILINE)
    return [re.sub(r"\s{2,}# .*", "", line).strip() for line in lines]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("readme"))
    shutil.copy(project.folder / TINY, project.folder / "config/config.yaml")
    captions = project.folder / "data/captions"  # to plan with: the user brings them
    captions.mkdir(parents=True)
    for split in ("train", "val", "test_2016_flickr"):
        for language in ("de", "en"):
            (captions / f"{split}.{language}.gz").touch()
    return project


@pytest.fixture(scope="module")
def artifacts(project: Project) -> Path:
    """What a run leaves, for commands that look at it."""
    project.run("snakemake", "--cores", "2")
    return project.folder / "results"


def test_the_readme_has_commands() -> None:
    assert {"make run", "make test", "snakemake --cores 2", "snakemake -n", "snakemake --cores 2 estimate"} <= set(commands())


@pytest.mark.parametrize("command", commands())
def test_command(project: Project, command: str, request: pytest.FixtureRequest) -> None:
    if command.startswith("python ") or "estimate" in command.split():
        request.getfixturevalue("artifacts")
    words = shlex.split(PLACEHOLDER.sub(lambda match: found(project.folder, *match.groups()), command))
    if words[0] == "make":
        words[1:1] = ["-o", ".venv/installed"] if words[1:] == ["run"] else ["-n", "-o", ".venv/installed"]
    elif words[0] == "snakemake" and any(option in command for option in ONLY_PLANNED):
        words.append("-n")
    elif any(name in command for name in ONLY_EXPLAINED):
        words.append("--help")
    done = project.run(*words)
    if command == "make run":
        report = done.stdout.rstrip().splitlines()[-1]
        assert (project.folder / report).is_file()
        assert "bits per byte" in done.stdout
        assert "gpt" in done.stdout


def test_python_imports(root: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})


def found(folder: Path, stage: str, name: str) -> str:
    (path,) = folder.glob(f"results/{stage}/{name}-*")
    return str(path.relative_to(folder))
