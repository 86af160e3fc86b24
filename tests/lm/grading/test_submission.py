"""Which files of a submission there are, for all that hash, measure, copy and show them."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.lm.grading.submission import SKIPPED, content, copy, files


@pytest.fixture
def submission() -> Iterator[Path]:
    """A folder that other users may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "adapters.py").write_text("")
    yield folder
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)  # a user without privileges may not empty what is closed
    subprocess.run(["rm", "-rf", folder], check=True)  # shutil.rmtree goes only so deep


def test_a_folder_that_may_not_be_entered(submission: Path) -> None:
    (submission / "closed").mkdir()
    (submission / "closed/more.py").write_text("")
    (submission / "closed").chmod(0o444)
    assert by_nobody(submission) == ["adapters.py"]


def by_nobody(submission: Path) -> list[str]:
    """The names of its files as a user without privileges sees them: root may enter any folder."""
    receiving, sending = os.pipe()
    if os.fork() == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            content(submission)
            os.write(sending, " ".join(path.name for path in files(submission)).encode())
        finally:
            os._exit(0)
    os.close(sending)
    os.wait()
    return os.read(receiving, 1000).decode().split()


def test_folders_in_folders_without_end(submission: Path) -> None:
    above = os.getcwd()  # noqa: PTH109
    os.chdir(submission)
    for _ in range(1500):
        os.mkdir("d")  # noqa: PTH102, a path of that length has no name
        os.chdir("d")
    os.chdir(above)
    assert [path.name for path in files(submission)] == ["adapters.py"]


@pytest.mark.parametrize("name", SKIPPED)
def test_what_is_not_looked_at_is_not_there_to_be_run(name: str, submission: Path, tmp_path: Path) -> None:
    (submission / "package" / name).mkdir(parents=True)
    (submission / "package" / name / "hidden.py").write_text("")
    (submission / "package/shown.py").write_text("")
    copy(submission, tmp_path / "copy")
    assert [path.name for path in files(tmp_path / "copy")] == ["adapters.py", "shown.py"]
    assert not list((tmp_path / "copy").rglob("hidden.py"))
