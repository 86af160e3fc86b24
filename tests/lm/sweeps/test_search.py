"""What is tried next: Bayesian proposals, successive halving, and trials without a result."""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import pytest

from stages.lm.errors import UserError
from stages.lm.sweeps import trials
from stages.lm.sweeps.bayes import Seen, propose
from stages.lm.sweeps.draws import at, grid
from stages.lm.sweeps.halving import promoted, rungs
from stages.lm.sweeps.outcomes import Outcome, summary
from stages.lm.sweeps.search import Ours, Request, SearchSettings, Trial, first, following
from stages.lm.sweeps.settings import Hyperband, Metric
from stages.lm.sweeps.table import as_text, rows
from stages.lm.sweeps.table import best as best_of
from stages.lm.sweeps.trials import Refused, check, train_settings
from tests.lm.sweeps.functions import FUNCTIONS
from tests.lm.sweeps.spaces import BASE, search, space

LEARNING_RATE = {"training.learning_rate": {"distribution": "log_uniform_values", "min": 1.0e-5, "max": 1.0}}
HALVING = {"type": "hyperband", "min_iter": 10, "eta": 3}
Measure = Callable[[dict[str, Any], int | None], Outcome]


def loss(value: float, until: int | None = None, state: str = "") -> Outcome:
    values = {"validation_loss": value}
    return Outcome.model_validate(
        {
            "state": state or ("paused" if until else "finished"),
            "until": until,
            "steps": until or 90,
            "last": values,
            "best": values,
        }
    )


def run(settings: SearchSettings, measure: Measure) -> tuple[list[Trial], list[list[Request]]]:
    """A whole sweep with outcomes from a function; also the rounds."""
    trials: list[Trial] = []
    rounds = []
    requests = first(settings)
    while requests:
        rounds.append(requests)
        for request in requests:
            if request.number == len(trials):
                trials.append(Trial(at(settings.parameters, request.unit), request.refused))
                trials[-1] = Trial(trials[-1].point._replace(parameters=request.parameters), request.refused)
            if request.refused is None:
                trials[request.number].outcomes.append(measure(trials[request.number].point.parameters, request.until))
        requests = following(settings, trials)
    return trials, rounds


def best(settings: SearchSettings, function: Callable[[dict[str, Any]], float]) -> float:
    trials, _ = run(settings, lambda parameters, _: loss(function(parameters)))
    assert len(trials) == settings.run_cap
    return min(trial.outcomes[-1].last["validation_loss"] for trial in trials)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bayesian_search_beats_random_search(name: str) -> None:
    """In the median over 20 seeds, at 30 trials; tests/benchmarks/sweeps.py does the same with the Gaussian process."""
    parameters, function, _ = FUNCTIONS[name]
    bayes = [best(search("bayes", parameters, Ours(seed=seed, engine="tpe"), run_cap=30), function) for seed in range(20)]
    random = [best(search("random", parameters, Ours(seed=seed), run_cap=30), function) for seed in range(20)]
    assert median(bayes) < median(random)


def test_the_gaussian_process_finds_the_minimum_of_a_bowl() -> None:
    def bowl(parameters: dict[str, Any]) -> float:
        return (math.log10(parameters["training.learning_rate"]) + 3) ** 2

    settings = search("bayes", LEARNING_RATE, run_cap=12)
    once, again = (run(settings, lambda given, _: loss(bowl(given))) for _ in range(2))
    assert once == again
    assert min(trial.outcomes[-1].last["validation_loss"] for trial in once[0]) < 1e-3


def test_bayesian_search_knows_probabilities_and_falsy_values() -> None:
    """W&B's engine raises on probabilities and takes 0, False and None for the first value; its way to Optuna ignores the
    probabilities and shifts multiples of q."""
    parameters = space(
        {
            "a": {"values": [3, 0, False, None], "probabilities": [0.0, 0.4, 0.3, 0.3]},
            "q": {"distribution": "q_uniform", "min": 1, "max": 7, "q": 3},
        }
    )
    points = [at(parameters, {"a": unit, "q": unit}) for unit in (0.1, 0.5, 0.9)]
    assert [point.parameters for point in points] == [{"a": 0, "q": 3}, {"a": False, "q": 3}, {"a": None, "q": 6}]
    seen = [Seen(point, 0.0 if point.parameters["a"] is None else 1.0) for point in points]
    found = propose(parameters, seen, 6, "tpe", 0)
    assert {point.parameters["q"] for point in found} <= {0, 3, 6}
    assert 3 not in {point.parameters["a"] for point in found}
    assert len({point.key for point in [*points, *found]}) == len(points) + len(found), "nothing is proposed twice"


def test_a_space_that_is_used_up_ends_the_sweep() -> None:
    settings = search("bayes", {"training.seed": {"values": [0, 1, 2]}}, Ours(engine="tpe"), run_cap=50)
    trials, _ = run(settings, lambda parameters, _: loss(float(parameters["training.seed"])))
    assert {trial.point.parameters["training.seed"] for trial in trials} == {0, 1, 2}


def test_a_reached_target_ends_the_sweep() -> None:
    settings = search("bayes", LEARNING_RATE, run_cap=50, metric={"name": "loss", "goal": "maximize", "target": 2})
    trials, _ = run(settings, lambda *_: Outcome(state="finished", last={"loss": 2.5}))
    assert len(trials) == 4


@pytest.mark.parametrize(
    ("keys", "steps", "expected"),
    [
        ({"min_iter": 10, "eta": 3}, 90, [10, 30]),
        ({"min_iter": 10, "eta": 2.5}, 90, [10, 25, 62]),
        ({"max_iter": 27, "s": 2, "eta": 3}, 90, [3, 9]),
        ({"max_iter": 9, "s": 5, "eta": 3}, 90, [1, 3]),
        ({"min_iter": 100}, 90, []),
    ],
)
def test_bands_are_rungs_in_steps(keys: dict[str, Any], steps: int, expected: list[int]) -> None:
    assert rungs(Hyperband.model_validate({"type": "hyperband", **keys}), steps) == expected


def test_rungs_count_steps_however_often_metrics_are_logged() -> None:
    """W&B's engine counts logged points: logged twice as often, trials would stop at half of the steps."""
    for every in (1, 5):
        records = [{"step": step, "tokens": step, "validation_loss": 100.0 - step} for step in range(every, 31, every)]
        assert summary(records, 10, 1.0, None, None).last == {"validation_loss": 90.0}


def test_one_in_eta_goes_on() -> None:
    assert promoted({number: float(-number) for number in range(9)}, 3) == [8, 7, 6]
    assert promoted({0: 1.0, 1: 2.0}, 3) == [0]
    assert promoted({0: math.inf, 1: 2.0, 2: math.inf}, 1.1) == [1]
    assert promoted({0: math.inf}, 3) == []


def test_successive_halving_trains_the_best_to_the_end_and_the_others_less() -> None:
    settings = search("grid", {"training.seed": {"values": list(range(9))}}, early_terminate=HALVING)
    trials, rounds = run(settings, lambda parameters, until: loss(float(parameters["training.seed"]), until))
    assert [[(request.number, request.until) for request in each] for each in rounds] == [
        [(number, 10) for number in range(9)],
        [(0, 30), (1, 30), (2, 30)],
        [(0, None)],
    ]
    assert [trial.outcomes[-1].state for trial in trials] == ["finished"] + ["paused"] * 8
    assert sum(trial.outcomes[-1].steps for trial in trials) < 0.5 * 9 * 90, "steps of training, against those of the whole grid"


def test_a_diverged_trial_never_goes_on() -> None:
    settings = search("grid", {"training.seed": {"values": [0, 1, 2]}}, early_terminate=HALVING | {"eta": 1.5})
    trials, _ = run(settings, lambda given, until: loss(1.0, until, "" if given["training.seed"] else "diverged"))
    assert [len(trial.outcomes) for trial in trials] == [1, 7, 2]


@pytest.mark.parametrize(("impute", "expected"), [("worst", 3.0), ("best", 1.0), ("latest", 9.0)])
def test_what_a_trial_without_a_result_counts_as(impute: str, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []

    def spy(_: Any, seen: Sequence[Any], *__: Any) -> list[Any]:
        told.extend(one.cost for one in seen)
        return []

    monkeypatch.setattr("stages.lm.sweeps.search.propose", spy)
    settings = search("bayes", LEARNING_RATE, run_cap=9, metric={"name": "validation_loss", "impute": impute})
    units = [{"training.learning_rate": unit} for unit in (0.2, 0.4, 0.6)]
    outcomes = [loss(1.0), loss(3.0), loss(9.0, state="diverged")]
    following(settings, [Trial(at(settings.parameters, unit), None, [one]) for unit, one in zip(units, outcomes, strict=True)])
    assert told == [1.0, 3.0, expected]


def test_a_trial_of_values_that_do_not_go_together_is_refused_at_no_cost() -> None:
    settings = search("grid", {"model.heads": {"values": [2, 3]}})
    assert [request.refused is None for request in first(settings)] == [True, False]
    with pytest.raises(Refused, match="heads"):
        train_settings(BASE, {"model.heads": 3})


def test_a_draw_beyond_what_is_allowed_is_refused_and_stops_nothing() -> None:
    rates = {"training.learning_rate": {"distribution": "normal", "mu": 1.0e-3, "sigma": 1.0e-2}}
    tried, _ = run(search("random", rates, run_cap=20), lambda *_: loss(1.0))
    refused = [trial for trial in tried if trial.refused is not None]
    assert 0 < len(refused) < 20
    assert all("training.learning_rate" in str(trial.refused) and not trial.outcomes for trial in refused)


def test_of_a_wide_range_its_ends_and_its_middle_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []
    monkeypatch.setattr(trials, "train_settings", lambda _, parameters: tried.extend(parameters.values()))
    check(space({"training.seed": {"min": 0, "max": 1_000_000}}), BASE)
    assert len(tried) == 3
    assert {min(tried), max(tried)} == {0, 1_000_000}


def test_who_came_furthest_ranks_before_who_was_stopped_with_a_better_value() -> None:
    settings = search("grid", {"training.seed": {"values": [0, 1, 2, 3]}}, early_terminate=HALVING)
    found = ([loss(3.0, 10), loss(2.0)], [loss(1.0, 10)], [], [loss(4.0, state="diverged")])
    table = rows(
        settings, [Trial(point, outcomes=outcomes) for point, outcomes in zip(grid(settings.parameters), found, strict=True)]
    )
    assert [row["rank"] for row in table] == [0, 1, None, None]
    assert best_of(table) == 0
    assert [line.split()[0] for line in as_text(table, settings.metric).splitlines()[1:3]] == ["0", "1"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"training.learning_rat": {"min": 0.1, "max": 0.2}},
            "parameters.training.learning_rat: training.learning_rat: unknown key",
        ),
        ({"training.steps": {"min": 0.5, "max": 9.5}}, "training.steps: input should be a valid integer"),
        ({"training.learning_rate": {"min": -1.0, "max": 1.0}}, "training.learning_rate: input should be greater than 0"),
        ({"training.learning_rate.x": {"value": 1}}, "training.learning_rate.x: "),
        ({"tokenizer": {"values": ["a"]}}, "parameters.tokenizer: a sweep varies model.… and training.…"),
    ],
)
def test_parameters_are_checked_against_the_experiment(entry: dict[str, Any], message: str) -> None:
    base = BASE | {"training": BASE["training"] | {"learning_rate": 1e-3}}
    with pytest.raises(UserError) as error:
        check(space(entry), base)
    assert message in str(error.value)


def test_outcomes() -> None:
    lines = [{"step": 1, "tokens": 10, "loss": 3.0}, {"step": 2, "tokens": 20, "loss": 2.0, "validation_loss": 5.0}]
    assert summary(lines, None, 7.0, None, None) == Outcome(
        state="finished", steps=2, tokens=20, flops=140.0, last={"loss": 2.0, "validation_loss": 5.0},
        best={"loss": 2.0, "validation_loss": 5.0},
    )  # fmt: skip
    assert summary(lines, None, 7.0, 4.5, None).state == "diverged"
    assert summary([*lines, {"step": 2, "tokens": 20, "finite": False}], None, 7.0, None, "no longer finite").state == "diverged"
    failed = summary([], None, 7.0, 4.9, "ended by SIGKILL")
    assert (failed.state, failed.message, failed.cost(Metric(name="loss"))) == ("failed", "ended by SIGKILL", math.inf)
