"""A real Slurm for the tests of this folder, and what they run on it."""

import os
from collections.abc import Iterator

import pytest

from tests.pipeline import Project
from tests.slurm import cluster as slurm
from tests.slurm.line import CONFIG, Line

EVERYTHING = "STAGECRAFT_SLURM"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Cluster]:
    """A cluster of two nodes."""
    reason = slurm.missing()
    if reason:
        pytest.skip(reason)
    started = slurm.Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(autouse=True)
def _long_ones_are_asked_for(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("long_on_slurm") and os.environ.get(EVERYTHING) != "all":
        pytest.skip(f"minutes on Slurm; runs with {EVERYTHING}=all")


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Everything up to the tokens, made on this machine, and the training that should come out."""
    project = Project(tmp_path_factory.mktemp("line"))
    project.run("snakemake", "train", "--cores", "2", "--configfile", CONFIG)
    return Line(project)
