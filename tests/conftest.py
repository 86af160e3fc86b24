"""Fixtures that several test folders share."""

import fcntl
import os
import shutil
import sys
from pathlib import Path

import hypothesis
import pytest

from tests import toy_line as toy
from tests.pipeline import Project

# Machines that run tests are busy: time limits on single examples would tell of them, not of the code.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: processes that share the files should not wait in the end for one that began late."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _numbers_as_torch_has_them() -> None:
    """Training flushes subnormal numbers and multiplies in bf16, for the whole process; the next test counts on neither."""
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.set_flush_denormal(False)
        torch.set_float32_matmul_precision("highest")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real text beside the checkout; the tests that use it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real text at {folder}")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project with a finished tiny run; tests that change it put it back.

    Processes that share the tests share the run too: the first to need it makes it, and each has its own copy.
    """
    own = tmp_path_factory.mktemp("finished") / "project"
    common = tmp_path_factory.getbasetemp().parent / "finished" if "PYTEST_XDIST_WORKER" in os.environ else own.parent / "first"
    with common.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not common.exists():
            Project(own).snakemake()
            own.rename(common)
    return Project.at(shutil.copytree(common, own, symlinks=True))


@pytest.fixture(scope="session")
def toy_line(tmp_path_factory: pytest.TempPathFactory) -> toy.Line:
    """Small artifacts from corpus to trained models; tests only read them."""
    return toy.make(tmp_path_factory.mktemp("line"))
