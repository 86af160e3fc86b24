"""The commands of the page for people at a cluster are planned as they stand there; this needs no Slurm."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.pipeline import ROOT, Project
from workflow.reading import merge, read

PAGE = "workflow/profiles/slurm/README.md"
SITE = "workflow/profiles/slurm/site.yaml"

pytestmark = pytest.mark.slow


def commands() -> list[str]:
    return re.findall(r"^    (snakemake .*)$", (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("page"))
    shutil.copy(project.folder / SITE, project.folder / "site.yaml")
    return project


def test_the_page_goes_from_the_download_to_everything() -> None:
    assert len(commands()) == 3


@pytest.mark.parametrize("command", commands())
def test_command(project: Project, command: str) -> None:
    done = project.run(*shlex.split(command), "-n")
    assert "make_corpus" in done.stdout + done.stderr


def test_the_site_file_asks_for_gpus_where_training_is(root: Path) -> None:
    import yaml

    config = yaml.safe_load((root / "config/config.yaml").read_text())
    site = yaml.safe_load((root / SITE).read_text())
    execution = read(merge(config, site)).execution
    assert (execution.job("train").gpus, execution.job("train").account) == (1, "my-account")
    assert (execution.job("decode").gpus, execution.job("decode").partition) == (0, "cpu")
