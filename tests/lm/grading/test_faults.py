"""The reference gets all points, and each fault loses exactly its own: in this process, where all runs that is tested here."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stages.lm.grading import packing, reference
from stages.lm.grading.checks.every import CHECKS
from stages.lm.grading.examine import examine
from stages.lm.grading.examinee import Answered, Examinee
from stages.lm.grading.example import write_trained
from stages.lm.grading.marking import Marks, mark
from stages.lm.grading.processes import forget_peak, peak_of
from stages.lm.grading.rubric import Limits, read_rubric
from tests.lm.grading.faults import COLLECTED, FAULTS, PROJECT_1_1, PROJECT_1_2, SEED, Fault


class Here(Examinee):
    """A submission that is trusted, with the answers and the measurements of one that is not."""

    def __init__(self, folder: Path, code: str) -> None:
        super().__init__(folder, folder, Limits(), "adapters")
        self.adapters = ModuleType("adapters")
        vars(self.adapters).update({name: value for name, value in vars(reference).items() if not name.startswith("__")})
        exec(code, vars(self.adapters))

    def ask(self, check: str, given: Any) -> Answered:
        before, start = forget_peak("self"), time.monotonic()
        try:
            value = packing.pack(CHECKS[check].probe(self.adapters, packing.unpack(packing.pack(dict(given))[8:])))
        except Exception as error:  # noqa: BLE001
            return Answered(fault=repr(error))
        return Answered(packing.unpack(value[8:]), None, time.monotonic() - start, peak_of("self") - before)

    def stop(self) -> None:
        """There is no process to end."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission with a trained model."""
    folder = tmp_path_factory.mktemp("reference")
    write_trained(folder)
    return folder


@pytest.fixture
def grade(trained: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, int], Marks]:
    """Marks by a rubric for the reference with some code overridden, with the hidden inputs of a seed."""
    monkeypatch.chdir(tmp_path)
    return lambda rubric, code, seed: mark(read_rubric(root / rubric), seed, Here(trained, code))


@pytest.mark.parametrize("rubric", [PROJECT_1_1, PROJECT_1_2])
def test_the_reference_gets_all_points(rubric: str, grade: Callable[[str, str, int], Marks]) -> None:
    marks = grade(rubric, "", 0)
    assert [one.name for one in marks.marks if one.points < one.entry.points] == []
    assert marks.points == 100


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_loses_its_own_points(fault: Fault, grade: Callable[[str, str, int], Marks]) -> None:
    marks = grade(fault.rubric, fault.code, SEED)
    assert {one.name: one.points for one in marks.marks if one.points < one.entry.points} == fault.left


@pytest.mark.parametrize("fault", [Fault(PROJECT_1_1, "", {}), COLLECTED], ids=["none", "the ids of a stream are collected"])
def test_in_isolation(fault: Fault, root: Path, tmp_path: Path) -> None:
    """As it is handed in and graded, with a copy of our code beside it."""
    shutil.copytree(root / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "adapters.py").write_text(f"from stages.lm.grading.reference import *\n{fault.code}")
    marks = examine(tmp_path, read_rubric(root / PROJECT_1_1), SEED)
    assert {one.name: one.points for one in marks.marks if one.points < one.entry.points} == fault.left
