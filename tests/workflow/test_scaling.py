"""Scaling studies in the plan: trainings known from the config, and the one that they predict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stages.lm.errors import UserError
from stages.lm.scaling.runs import grid
from stages.lm.sweeps.trials import Request
from tests.workflow.configs import changed
from workflow.config import Config
from workflow.nodes import Node
from workflow.plan import Plan, build
from workflow.reading import load, read

SHAPED = {"family": "transformer", "context_length": 32, "shape": {"parameters": 6000, "d_head": 8}}
STUDY = {"kind": "scaling", "experiment": "gpt", "budgets": ["2e8", 4e8, 8e8], "sizes": [1500, 3000, 6000], "predict": "16e8"}


def scaled(**study: Any) -> Config:
    """The config of tests with a scaling study of its experiment."""
    data = changed("experiments.gpt.model", SHAPED)
    data["experiments"]["gpt"]["training"] = {"steps": 90, "batch_size": 4}
    data["studies"]["laws"] = STUDY | study
    return read(data)


def named(plan: Plan, stage: str) -> list[str]:
    return [node.name for node in plan.stage(stage)]


def test_the_trainings_at_the_budgets_are_known_from_the_config() -> None:
    plan = build(scaled())
    (study,) = plan.stage("scaling")
    assert named(plan, "trial") == ["gpt"] * 9
    assert [trial["outcomes"] for trial in study.settings["trials"]] == [[node.id] for node in plan.stage("trial")]
    assert {node.stage for node in study.inputs.values()} == {"trial", "corpus", "tokenize"}
    assert {study.settings["corpus"], study.settings["tokens"]} < set(study.inputs)
    assert (plan.is_whole, plan.stage("report")) == (False, [])


def test_the_training_that_they_predict_is_known_when_they_are_made() -> None:
    answers: list[Sequence[Request]] = [
        [],
        [Request(number=9, parameters={"model.shape.parameters": 12_000, "training.steps": 170})],
    ]
    plan = build(scaled(), follow=lambda _: answers.pop())
    first, last = plan.studies["laws"]
    assert [len(node.settings["trials"]) for node in (first, last)] == [9, 10]
    assert set(last.inputs) - set(first.inputs) == {plan.stage("trial")[-1].id}
    (report,) = plan.stage("report")
    assert report.settings["studies"] == {"lengths": plan.studies["lengths"][0].id, "laws": last.id}
    assert {plan.studies["lengths"][0].id, last.id} < set(report.inputs)


def test_a_training_that_is_an_experiment_is_made_once() -> None:
    """2,304 x 128 tokens at 6 x 5,760 operations: 4e8 to the nearest step are 90."""
    plan = build(scaled())
    (train,) = plan.stage("train")
    shared = [node for node in plan.stage("trial") if node.train is train]
    assert [(node.settings["model"]["d_model"], node.settings["training"]["steps"]) for node in shared] == [(24, 90)]
    assert train in plan.needed(shared[0])


def test_a_study_moves_no_artifact_of_its_experiment() -> None:
    def ids(config: Config) -> set[str]:
        return {node.id for node in build(config, follow=nothing_more).nodes.values()}

    def nothing_more(_: Node) -> Sequence[Request]:
        return []

    data = changed("experiments.gpt.model", SHAPED)
    data["experiments"]["gpt"]["training"] = {"steps": 90, "batch_size": 4}
    assert {name.split("/")[0] for name in ids(read(data)) - ids(scaled())} == {"report"}


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"experiment": "gtp"}, "studies.laws.experiment: unknown experiment 'gtp'; did you mean 'gpt'?"),
        ({"sizes": [1500, 3000]}, "studies.laws.sizes"),
        ({"predict": 8e8}, "studies.laws: predict 8e+08: should be more than the largest budget"),
        ({"budgets": [2e6, 4e8, 8e8]}, "studies.laws: experiment gpt: 2e+06 FLOPs are 2 steps for 1,500 parameters"),
    ],
)
def test_mistakes_are_found_when_the_config_is_read(study: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        scaled(**study)
    assert message in str(error.value)


def test_the_shipped_study_is_planned(root: Path) -> None:
    """Its experiment is one of its trainings, and none reads more tokens than 40,000 documents have, about 9.4 million."""
    config = load(root / "config/scaling.yaml")
    plan, runs = build(config), grid(config.scalings["compute"])
    assert len(plan.stage("trial")) == len(runs) == 20
    assert sum(node.train is plan.stage("train")[0] for node in plan.stage("trial")) == 1
    assert max(run.tokens for run in runs) < 9.3e6
    assert all(run.settings.training.threads == 1 for run in runs)
