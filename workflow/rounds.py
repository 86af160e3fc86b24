"""Sweeps in the plan: a chain of rounds, each a set of trials that run beside each other and a table that says what comes next.

Grids and random draws are one round, known from the config. What Bayesian search proposes, and which trials go on after a rung,
is known when the round before is made. Trials are ordinary trainings, so that equal ones are trained once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lm import artifacts
from stages.lm.settings import parse
from stages.lm.sweeps.search import SearchSettings, first
from stages.lm.sweeps.trials import Request, train_settings
from stages.lm.training.settings import TrainSettings
from workflow.config import Config
from workflow.nodes import Node, Plan

Follow = Callable[[Node], Sequence[Request] | None]
"""What comes after a round: nothing where the sweep is over, None where it is not made yet."""

RESULTS = Path("results")


def unknown(_: Node) -> None:
    """No round is made yet."""


def on_disk(node: Node) -> list[Request] | None:
    """What the round says that is made in results/."""
    folder = RESULTS / node.id
    if not all((RESULTS / one.id / artifacts.MANIFEST).exists() for one in (node, *node.inputs.values())):
        return None  # or will be made anew, as one of its trials is
    return [parse(Request, entry, str(folder)) for entry in json.loads((folder / "next.json").read_text(encoding="utf-8"))]


def add_sweep(plan: Plan, name: str, config: Config, varied: Mapping[str, Node], options: Sequence[str], follow: Follow) -> None:
    """Plan the rounds of a sweep as far as they are known; `varied` are its experiment's nodes, `options` those of training."""
    search, tried = config.searches[name], list[dict[str, Any]]()
    rounds = plan.rounds.setdefault(name, [])
    inputs: dict[str, Node] = {}
    requests: Sequence[Request] | None = first(search)
    while requests:
        for request in requests:
            if request.number == len(tried):
                new = {key: getattr(request, key) for key in ("parameters", "unit", "refused")}
                tried.append(new | {"outcomes": []})
            if request.refused is None:
                settings = train_settings(search.base, tried[request.number]["parameters"])
                trial = plan.add(_trial(plan, config, settings, request.until, varied, options, search.is_settled))
                tried[request.number]["outcomes"].append(trial.id)
                inputs[trial.id] = trial
        rounds.append(plan.add(_round(name, config, search, tried, inputs)))
        requests = () if search.is_settled else follow(rounds[-1])
    plan.is_whole = plan.is_whole and requests is not None


def _round(
    name: str, config: Config, search: SearchSettings, tried: Sequence[Mapping[str, Any]], inputs: Mapping[str, Node]
) -> Node:
    trials = [{**trial, "outcomes": list(trial["outcomes"])} for trial in tried]
    settings = {"experiment": config.sweeps[name].experiment, "search": search.resolved(), "trials": trials}
    return Node("sweep", name, settings, dict(inputs), job=config.execution.job("sweep"))


def _trial(
    plan: Plan,
    config: Config,
    settings: TrainSettings,
    until: int | None,
    varied: Mapping[str, Node],
    options: Sequence[str],
    is_settled: bool,
) -> Node:
    """A trial up to a rung or its end. Under the name of the experiment, whichever sweep it is of; as large as the experiment.

    Only trials that the config alone tells give their path to an experiment that is equal to them.
    """
    base, execution = varied["train"], config.execution
    job = base.job if "trial" not in execution.jobs else execution.jobs["trial"].over(base.job)
    own = Node.training(base.name, settings, varied["tokenize"], options, job)
    train = plan.nodes.get(own.digest) or plan.tried.get(own.digest) or own
    if is_settled:
        plan.tried[own.digest] = train
    trial, where = {**own.settings, "until": until}, ("--train", f"results/{train.id}")
    modules = ("stages.train", *own.modules)
    return Node("trial", train.name, trial, own.inputs, own.files, where, modules, own.threads, job, base.estimate, train)
