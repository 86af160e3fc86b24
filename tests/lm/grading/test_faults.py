"""The reference gets all points, and each fault loses exactly its own: in this process, where all runs that is tested here."""

import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stages.lm.grading import packing, reference
from stages.lm.grading.checks.every import CHECKS
from stages.lm.grading.examinee import Answered, Examinee, forget_peak, peak_of
from stages.lm.grading.marking import Marks, mark
from stages.lm.grading.rubric import Limits, read_rubric
from tests.lm.grading.faults import FAULTS, PROJECT_1_1, PROJECT_1_2, Fault


class Here(Examinee):
    """A submission that is trusted, with the answers and the measurements of one that is not."""

    def __init__(self, code: str) -> None:
        super().__init__(Path(), Path(), Limits(), "adapters")
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


def marks_of(rubric: str, code: str, root: Path, seed: int) -> Marks:
    return mark(read_rubric(root / rubric), seed, Here(code))


@pytest.mark.parametrize("rubric", [PROJECT_1_1, PROJECT_1_2])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_reference_gets_all_points(
    rubric: str, seed: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    marks = marks_of(rubric, "", root, seed)
    assert [one.name for one in marks.marks if one.points < one.entry.points] == []
    assert marks.points == 100


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_loses_its_own_points(fault: Fault, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    marks = marks_of(fault.rubric, fault.code, root, seed=3)
    assert {one.name: one.points for one in marks.marks if one.points < one.entry.points} == fault.left
