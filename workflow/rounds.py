"""Sweeps and scaling studies in the plan: a chain of rounds, each a set of trials that run beside each other and an artifact over
them that says what comes next.

Grids and random draws are one round, known from the config. What Bayesian search proposes, which trials go on after a rung, and
which training a scaling study predicts, is known when the round before is made. Trials are ordinary trainings, so that equal ones
are trained once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stages.lm.scaling import runs
from stages.lm.settings import parse
from stages.lm.sweeps import search
from stages.lm.sweeps.trials import Request, train_settings
from stages.lm.training.settings import TrainSettings
from workflow.config import Config, Execution
from workflow.nodes import Node, Plan

Follow = Callable[[Node], Sequence[Request] | None]
"""What comes after a round: nothing where the sweep is over, None where it is not made yet."""


def unknown(_: Node) -> None:
    """No round is made yet."""


def on_disk(node: Node) -> list[Request] | None:
    """What the round says that is made in results/."""
    if not all(one.is_made for one in (node, *node.inputs.values())):
        return None  # or will be made anew, as one of its trials is
    return [parse(Request, entry, str(node.path)) for entry in json.loads((node.path / "next.json").read_text(encoding="utf-8"))]


@dataclass(frozen=True)
class Chain:
    """What the rounds of a sweep or of a scaling study have in common."""

    empty: Node
    """A round without its trials."""
    base: Mapping[str, Any]
    """`model` and `training` of the experiment, as its config has them."""
    is_settled: bool
    """Whether the first round is the last."""
    varied: Mapping[str, Node]
    """The nodes of the experiment."""
    options: Sequence[str]
    """Of training."""
    execution: Execution

    @property
    def shown(self) -> Sequence[str]:
        """The options of its trials, which W&B shows as one group."""
        return self.options if self.execution.wandb == "disabled" else (*self.options, "--wandb-group", self.empty.name)

    def round(self, tried: Sequence[Mapping[str, Any]], outcomes: Mapping[str, Node]) -> Node:
        """The artifact over the trials so far."""
        trials = [{**trial, "outcomes": list(trial["outcomes"])} for trial in tried]
        return replace(self.empty, settings={**self.empty.settings, "trials": trials}, inputs={**self.empty.inputs, **outcomes})


def add_sweep(plan: Plan, name: str, config: Config, varied: Mapping[str, Node], options: Sequence[str], follow: Follow) -> None:
    """Plan the rounds of a sweep as far as they are known; `varied` are its experiment's nodes, `options` those of training."""
    searched = config.searches[name]
    settings = {"experiment": config.sweeps[name].experiment, "search": searched.resolved()}
    empty = Node("sweep", name, settings, job=config.execution.job("sweep"))
    chain = Chain(empty, searched.base, searched.is_settled, varied, options, config.execution)
    plan.rounds[name] = _rounds(plan, chain, search.first(searched), follow)


def add_scaling(
    plan: Plan, name: str, config: Config, varied: Mapping[str, Node], options: Sequence[str], follow: Follow
) -> None:
    """The same for a scaling study."""
    study, read = config.scalings[name], {role: varied[stage] for role, stage in (("corpus", "corpus"), ("tokens", "tokenize"))}
    settings = {"experiment": varied["train"].name, "study": study.resolved(), **{role: node.id for role, node in read.items()}}
    empty = Node("scaling", name, settings, {node.id: node for node in read.values()}, job=config.execution.job("scaling"))
    chain = Chain(empty, study.base, False, varied, options, config.execution)
    plan.studies[name] = _rounds(plan, chain, runs.first(study), follow)


def _rounds(plan: Plan, chain: Chain, requests: Sequence[Request] | None, follow: Follow) -> list[Node]:
    """Plan the rounds of a chain, from its first requests on."""
    rounds, tried, outcomes = list[Node](), list[dict[str, Any]](), dict[str, Node]()
    while requests:
        for request in requests:
            if request.number == len(tried):
                new = {key: getattr(request, key) for key in ("parameters", "unit", "refused")}
                tried.append(new | {"outcomes": []})
            if request.refused is None:
                settings = train_settings(chain.base, tried[request.number]["parameters"])
                trial = plan.add(_trial(plan, chain, settings, request.until))
                tried[request.number]["outcomes"].append(trial.id)
                outcomes[trial.id] = trial
        rounds.append(plan.add(chain.round(tried, outcomes)))
        requests = () if chain.is_settled else follow(rounds[-1])
    plan.is_whole = plan.is_whole and requests is not None
    return rounds


def _trial(plan: Plan, chain: Chain, settings: TrainSettings, until: int | None) -> Node:
    """A trial up to a rung or its end. Under the name of the experiment, whichever chain it is of; as large as the experiment.

    Only trials that the config alone tells give their path to an experiment that is equal to them.
    """
    base, jobs = chain.varied["train"], chain.execution.jobs
    job = base.job if "trial" not in jobs else jobs["trial"].over(base.job)
    own = Node.training(base.name, settings, chain.varied["tokenize"], chain.shown, job)
    train = plan.nodes.get(own.digest) or plan.tried.get(own.digest) or own
    if chain.is_settled:
        plan.tried[own.digest] = train
    trial, where = {**own.settings, "until": until}, ("--train", f"results/{train.id}")
    modules = ("stages.train", *own.modules)
    return Node("trial", train.name, trial, own.inputs, own.files, where, modules, own.threads, job, base.estimate, train)
