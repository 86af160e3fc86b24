"""Marks by a rubric: each check's cases put to the submission, and to our own code, and what comes of it.

Measured seconds and bytes are kept apart from the marks, since nothing else differs between two runs.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stages.lm.grading import packing, reference
from stages.lm.grading.case import Case
from stages.lm.grading.checks.check import Check, Given
from stages.lm.grading.checks.every import CHECKS
from stages.lm.grading.comparing import difference
from stages.lm.grading.evidence.bounded import bounded
from stages.lm.grading.evidence.every import EVIDENCE
from stages.lm.grading.examinee import Answered, Examinee
from stages.lm.grading.processes import forget_peak, peak_of
from stages.lm.grading.rubric import Check as Entry
from stages.lm.grading.rubric import Rubric

ROUNDS = 3
"""How often speed is measured before it counts as too slow."""
HOPELESS = 2.0
"""How many times the limit leaves no doubt."""
GRACE_SECONDS = 0.3
"""What is always allowed beside a multiple of our own time."""


@dataclass(frozen=True)
class Mark:
    """What a check earned."""

    name: str
    entry: Entry
    cases: list[Case]

    @property
    def passed(self) -> int:
        """How many of its cases passed."""
        return sum(case.fault is None for case in self.cases)

    @property
    def share(self) -> float:
        """How much of it counts as passed, 0 to 1."""
        return self.passed / len(self.cases) if self.entry.partial else float(self.passed == len(self.cases))

    @property
    def points(self) -> float:
        return round(self.entry.points * self.share, 2)


@dataclass
class Marks:
    """What a submission earned, in the order of the rubric."""

    marks: list[Mark] = field(default_factory=list)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By check and case: seconds and bytes, its own and ours."""
    isolation: list[str] = field(default_factory=list)
    """What the submission's process had given up."""
    unusable: str | None = None
    """Why it could not be asked, or not to the end."""

    @property
    def points(self) -> float:
        return round(sum(mark.points for mark in self.marks), 2)


def mark(rubric: Rubric, seed: int, examinee: Examinee, watch: Callable[[str], None] = lambda _: None) -> Marks:
    """Ask a submission all that the rubric asks, with the inputs of this seed; `watch` is told of each check."""
    marks = Marks()
    passed: dict[str, bool] = {}
    for name, entry in rubric.checks.items():
        watch(name)
        rng = random.Random(f"{seed} {name}")
        marks.measured[name] = {}
        if entry.needs is not None and not passed[entry.needs]:
            cases = [Case(entry.needs, f"was not asked: `{entry.needs}`, without which it is worth nothing, does not pass")]
        elif name in EVIDENCE:
            look = partial(EVIDENCE[name], examinee.folder, rng, entry)
            cases = bounded(name, look, rubric.limits.memory_mb)
        else:
            examination = Examination(CHECKS[name], name, entry, examinee, marks.measured[name])
            cases = list(examination.cases(CHECKS[name].cases(rng)))
        marks.marks.append(Mark(name, entry, cases))
        passed[name] = all(case.fault is None for case in cases)
    marks.isolation, marks.unusable = examinee.isolation, examinee.unusable
    return marks


@dataclass
class Examination:
    """One check on its way."""

    check: Check
    name: str
    entry: Entry
    examinee: Examinee
    measured: dict[str, Any]

    def cases(self, all_given: Mapping[str, Given]) -> Iterator[Case]:
        """The cases one after the other; what comes after one that hung is not asked."""
        hung = False
        for name, given in all_given.items():
            if hung:
                yield Case(name, "was not asked, since a case before it had to be stopped")
                continue
            fault, hung = self.put(name, given)
            yield Case(name, fault)

    def put(self, case: str, given: Given) -> tuple[str | None, bool]:
        """What is wrong with the answer to one case, and whether there was to be an end made to it."""
        if self.entry.more_mb is not None:
            self.examinee.stop()  # memory that an earlier answer has left behind would hide what this one takes
        fault, own, answered = self.compared(case, given)
        if fault is None and self.entry.times_slower is not None:
            fault = self.too_slow(case, given, own, answered)
        if fault is None and self.entry.more_mb is not None and answered.peak > own.peak + self.entry.more_mb * 2**20:
            fault = f"took more than {self.entry.more_mb:g} MiB of memory more than our own code does"
        return fault, answered.hung

    def compared(self, case: str, given: Given) -> tuple[str | None, Answered, Answered]:
        """What is wrong with an answer, if anything is, ours, and theirs."""
        own, answered = self.ours(given), self.examinee.ask(self.name, given)
        self.measured[case] = {"seconds": [answered.seconds, own.seconds], "bytes": [answered.peak, own.peak]}
        fault = answered.fault if answered.fault is not None else self.disagrees(answered.value, given, own.value)
        return fault, own, answered

    def ours(self, given: Given) -> Answered:
        """Our own answer to the same bytes, and what it took; none where what is right is known without it."""
        if self.check.right is not None:
            return Answered()
        same = packing.unpack(packing.pack(dict(given))[8:])
        before, start = forget_peak("self"), time.monotonic()
        value = self.check.probe(reference, same)
        seconds, peak = time.monotonic() - start, max(0, peak_of("self") - before)
        return Answered(packing.unpack(packing.pack(value)[8:]), None, seconds, peak)

    def disagrees(self, found: Any, given: Given, own: Any) -> str | None:
        """In words how an answer differs from ours, None where it does not, or only as `Check.also` allows."""
        right = self.check.view(own, given) if self.check.right is None else self.check.right
        try:
            seen = self.check.view(found, given)
            fault = difference(seen, right, self.entry.tolerance)
        except Exception:  # noqa: BLE001, a wrong form can raise anything, and a number may be too large for a float
            return "the answer has another form than its adapter promises"
        if fault is None:
            return None
        others = (self.check.view(self.ours(other).value, other) for other in self.check.also(given))
        return None if any(difference(seen, other, self.entry.tolerance) is None for other in others) else fault

    def too_slow(self, case: str, given: Given, own: Answered, answered: Answered) -> str | None:
        """Measured in turns, ours and theirs, until it is fast enough once."""
        assert self.entry.times_slower is not None
        for _ in range(ROUNDS):
            limit = own.seconds * self.entry.times_slower + GRACE_SECONDS
            if answered.seconds <= limit:
                return None
            if answered.seconds > HOPELESS * limit:
                break
            fault, own, answered = self.compared(case, given)
            if fault is not None:
                return fault
        return f"took more than {self.entry.times_slower:g} times as long as our own code"
