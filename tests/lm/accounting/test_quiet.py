"""Measurements beside other work are noticed, by clocks that are made up."""

from collections.abc import Callable, Iterator

import pytest

from stages.lm.accounting.quiet import ATTEMPTS, Reading, read, taken, undisturbed
from stages.lm.errors import UserError


def clocks(*others: float, processors: int = 2) -> Callable[[], Reading]:
    """Two threads that work for 10 seconds each time, beside others that take so many seconds a second."""

    def readings() -> Iterator[Reading]:
        now = busy = own = 0.0
        for share in others:
            yield Reading(now, busy, own, processors)
            now, busy, own = now + 10, busy + 20 + 10 * share, own + 20
            yield Reading(now, busy, own, processors)

    return readings().__next__


def test_others_take_what_this_process_does_not() -> None:
    before, after = Reading(0.0, 50.0, 5.0, 2), Reading(10.0, 65.0, 17.0, 2)
    assert taken(before, after, threads=2) == pytest.approx(0.3)
    assert taken(before, after, threads=1) == 0.0
    assert taken(before, after._replace(processors=3), threads=3) == pytest.approx(0.3)


def test_a_machine_at_rest_is_measured_once() -> None:
    found = iter([1.05])
    assert undisturbed(found.__next__, lambda spread: spread, 2, clocks(0.01)) == 1.05


@pytest.mark.parametrize("others", [(0.5, 0.0), (0.0, 0.0)])
def test_it_is_measured_again_where_either_sign_says_so(others: tuple[float, float]) -> None:
    found = iter([1.05 if others[0] else 1.6, 1.02])
    assert undisturbed(found.__next__, lambda spread: spread, 2, clocks(*others)) == 1.02


def test_nothing_is_kept_of_a_machine_that_never_rests() -> None:
    measured: list[int] = []
    with pytest.raises(UserError, match=r"nothing was kept of 3 measurements: other work took 70% of a processor") as caught:
        undisturbed(lambda: measured.append(1), lambda _: 1.3, 2, clocks(0.2, 0.4, 0.7))
    assert len(measured) == ATTEMPTS
    assert "half of the repetitions took 30% more than the fastest" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_processors_that_are_left_over_may_do_what_they_like() -> None:
    assert undisturbed(lambda: 1.0, lambda spread: spread, 2, clocks(1.9, processors=4)) == 1.0


def test_the_clocks_of_this_machine() -> None:
    """Whatever it does, its processors were busy at least as long as this process; ticks are hundredths of a second."""
    before = read()
    sum(range(3_000_000))
    after = read()
    assert after.processors >= 1
    assert after.own > before.own
    assert not after.busy or after.busy - before.busy >= after.own - before.own - 0.05
