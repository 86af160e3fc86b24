"""The ladder: what is drawn where, and losses that are infinite."""

import math
import re

import pytest

from stages.lm.evaluation.bootstrap import Interval
from stages.lm.reporting.comparison import Group, Row, compare
from stages.lm.reporting.experiments import resolve
from stages.lm.reporting.ladder import ladder, limits, short, ticks
from stages.lm.reporting.settings import ReportSettings
from stages.lm.reporting.svg import colour
from tests.lm.reporting.workshop import Workshop


def group(workshop: Workshop, *names: str) -> Group:
    experiments = {name: parts for name, parts in workshop.standard().items() if name in names}
    (found,) = compare(resolve(ReportSettings.model_validate({"experiments": experiments}), workshop.made, workshop.folder))
    return found


COLOURS = {"trigram": colour(0), "gpt": colour(1), "gpt-nope": colour(2)}


def test_every_experiment_has_its_costs(workshop: Workshop) -> None:
    found = ladder(group(workshop, *COLOURS), COLOURS, "ladder")
    assert found is not None
    assert (found.counted, found.infinite) == (["trigram"], [])
    assert "Bits per byte by parameters, training operations (FLOP), training time (seconds)" in found.plot
    assert re.search(r"gpt 0\.8\d+ with parameters 9.12e\+05, training operations \(FLOP\) 4.6e\+11, training time", found.plot)
    assert re.search(r"trigram 1\.\d+ with parameters 9.12e\+05, training time \(seconds\) 60", found.plot)
    assert "source" in found.plot


class Endless(Row):
    """A model that gives some token no probability at all."""

    @property
    def bits(self) -> Interval:
        return {"value": math.inf, "low": math.inf, "high": math.inf}


def test_an_infinite_loss_is_named_and_spoils_no_scale(workshop: Workshop) -> None:
    whole = group(workshop, *COLOURS)
    endless = Group(whole.corpus, whole.split, [*whole.rows[:-1], Endless(whole.rows[-1].experiment, None)])
    found = ladder(endless, COLOURS, "ladder")
    assert found is not None
    assert found.infinite == ["trigram"]
    assert "trigram" not in found.plot
    assert not re.search(r"\b(nan|inf)\b", found.plot)
    assert ladder(Group(whole.corpus, whole.split, endless.rows[1:]), COLOURS, "ladder") is None


def test_models_that_only_count_have_no_panel_of_operations(workshop: Workshop) -> None:
    trigram = group(workshop, "trigram")
    found = ladder(Group(trigram.corpus, trigram.split, trigram.rows * 2), COLOURS, "ladder")
    assert found is not None
    assert "Bits per byte by parameters, training time (seconds)" in found.plot
    assert found.counted == []


@pytest.mark.parametrize("values", [[7.0], [100.0, 101.0], [1e3, 1e9]])
def test_limits_hold_the_values_with_room(values: list[float]) -> None:
    low, high = limits(values)
    assert low < min(values) <= max(values) < high
    assert high / low >= 4 * (1 - 1e-12)


def test_ticks_are_round_and_few() -> None:
    assert ticks(3e11, 9e11) == [5e11]
    assert ticks(0.9e13, 4e13) == [1e13, 2e13]
    assert ticks(50, 2000) == [100, 300, 1000]
    assert ticks(0.5, 2e6) == [1, 100, 10_000, 1_000_000]


def test_numbers_of_an_axis_are_short() -> None:
    assert [short(value) for value in (2, 30_000, 5e6, 2e9, 3e13)] == ["2", "30k", "5M", "2B", "3e13"]
