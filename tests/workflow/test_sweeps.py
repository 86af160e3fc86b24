"""Sweeps in the plan: what is known from the config, what from the rounds before, and what is trained once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.lm.errors import UserError
from stages.lm.sweeps.search import Request
from tests.workflow.configs import changed
from workflow.config import Config
from workflow.nodes import Node
from workflow.plan import Plan, build
from workflow.reading import load, read
from workflow.rounds import on_disk

GRID = {"method": "grid", "parameters": {"training.learning_rate": {"values": [1.0e-3, 3.0e-4]}}}
HALVING = GRID | {
    "metric": {"name": "validation_loss"},
    "early_terminate": {"type": "hyperband", "min_iter": 2},
    "parameters": {"training.learning_rate": {"values": [0.1, 0.2, 0.3]}, "training.validate_every": {"value": 1}},
}


def swept(folder: Path, *files: dict[str, Any], **more: dict[str, Any]) -> Config:
    """The config of tests with a sweep over its experiment for each file, and more experiments."""
    sweeps = {}
    for number, content in enumerate(files):
        file = folder / f"{number}.yaml"
        file.write_text(yaml.safe_dump(content))
        sweeps[f"s{number}"] = {"experiment": "gpt", "file": str(file)}
    data = changed("sweeps", sweeps)
    data["experiments"] |= more
    return read(data)


def named(plan: Plan, stage: str) -> list[str]:
    return [node.name for node in plan.stage(stage)]


def test_the_trials_of_a_grid_are_known_from_the_config(tmp_path: Path) -> None:
    plan = build(swept(tmp_path, GRID))
    (sweep,), (report,) = plan.stage("sweep"), plan.stage("report")
    assert named(plan, "trial") == ["gpt", "gpt"]
    assert [node.id for node in plan.stage("trial")] == [trial["outcomes"][0] for trial in sweep.settings["trials"]]
    assert set(sweep.inputs) == {node.id for node in plan.stage("trial")}
    assert report.settings["sweeps"] == {"s0": sweep.id}
    assert sweep.id in report.inputs


def test_wandb_shows_the_trials_of_a_sweep_as_a_group(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(GRID))
    data = changed("sweeps", {"s": {"experiment": "gpt", "file": str(tmp_path / "grid.yaml")}})
    plain, shown = build(read(data)), build(read(data | {"execution": {"wandb": "offline"}}))
    other, _ = shown.stage("trial")
    assert other.train is not None
    assert other.train.options[-2:] == ("--wandb-group", "s")
    assert [node.id for node in plain.stage("trial")] == [node.id for node in shown.stage("trial")]


def test_a_trial_that_is_an_experiment_waits_for_its_training(tmp_path: Path) -> None:
    """The experiment's learning rate is 3e-4: the second trial."""
    plan = build(swept(tmp_path, GRID))
    (train,) = plan.stage("train")
    other, same = plan.stage("trial")
    assert (other.train, same.train) != (None, None)
    assert same.train is not None
    assert same.train.id == train.id
    assert [node.stage for node in plan.needed(same)] == ["tokenize", "train"]
    assert [node.stage for node in plan.needed(other)] == ["tokenize"]


def test_equal_trials_of_two_sweeps_are_one(tmp_path: Path) -> None:
    draws = {"method": "random", "run_cap": 1, "parameters": {"training.learning_rate": {"values": [1.0e-3]}}}
    plan = build(swept(tmp_path, GRID, draws))
    assert len(plan.stage("trial")) == 2
    assert len(plan.stage("sweep")) == 2


def test_an_experiment_that_was_a_trial_finds_its_training_under_the_name_it_has(tmp_path: Path) -> None:
    plan = build(swept(tmp_path, GRID, best={"extends": "gpt", "training": {"learning_rate": 1.0e-3}}))
    assert named(plan, "train") == ["gpt", "gpt"]
    assert named(plan, "evaluate") == ["gpt", "best"]
    assert list(plan.experiments) == ["gpt", "best"]


def test_rounds_follow_what_the_rounds_before_ask_for(tmp_path: Path) -> None:
    config = swept(tmp_path, HALVING)
    plan = build(config)
    assert [node.settings["until"] for node in plan.stage("trial")] == [2, 2, 2]
    assert (plan.is_whole, plan.stage("report")) == (False, [])

    answers: dict[int, Sequence[Request]] = {3: [Request(number=1)], 4: []}

    def follow(node: Node) -> Sequence[Request]:
        return answers[sum(len(trial["outcomes"]) for trial in node.settings["trials"])]

    plan = build(config, follow=follow)
    first, last = plan.rounds["s0"]
    assert [len(trial["outcomes"]) for trial in last.settings["trials"]] == [1, 2, 1]
    assert len(first.inputs) == 3
    assert plan.stage("trial")[3].settings["until"] is None
    assert plan.stage("report")[0].settings["sweeps"] == {"s0": last.id}


def test_what_rounds_find_moves_no_artifact(tmp_path: Path) -> None:
    """An experiment that is equal to a proposal, as one pasted from a sweep, keeps the name that it has before this is known."""
    bayes = {
        "method": "bayes", "run_cap": 4, "metric": {"name": "validation_loss"},
        "parameters": {"training.learning_rate": {"distribution": "uniform", "min": 1.0e-4, "max": 1.0e-2}},
    }  # fmt: skip
    config = swept(tmp_path, bayes, best={"extends": "gpt", "training": {"learning_rate": 0.005}})

    def follow(node: Node) -> Sequence[Request]:
        tried = len(node.settings["trials"])
        return [Request(number=tried, parameters={"training.learning_rate": 0.005}, unit={})] if tried < 5 else []

    before, after = build(config), build(config, follow=follow)
    assert len(after.rounds["s0"]) == 2
    assert {node.id for node in before.nodes.values()} < {node.id for node in after.nodes.values()}
    proposed = after.stage("trial")[-1]
    assert proposed.train is after.experiments["best"]["train"]


def test_a_trial_starts_from_the_folder_of_its_experiment(tmp_path: Path) -> None:
    """It is made from the same files, by the same code."""
    start = tmp_path / "model"
    start.mkdir()
    for name in ("config.json", "model.safetensors"):
        (start / name).touch()
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(GRID))
    data = changed("sweeps", {"s": {"experiment": "gpt", "file": str(tmp_path / "grid.yaml")}})
    data["experiments"]["gpt"]["training"]["start"] = str(start)
    plan = build(read(data))
    (train,) = plan.stage("train")
    for trial in plan.stage("trial"):
        assert trial.files == train.files == (str(start / "config.json"), str(start / "model.safetensors"))
        assert set(trial.modules) == {"stages.train", *train.modules}
        assert "stages.lm.hub.importing" in train.modules


def test_what_is_not_on_disk_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = build(swept(tmp_path, HALVING), follow=on_disk)
    (round_,) = plan.rounds["s0"]
    made = tmp_path / "results" / round_.id
    made.mkdir(parents=True)
    (made / "next.json").write_text("[]")
    assert on_disk(round_) is None
    (made / "manifest.json").write_text("{}")
    assert on_disk(round_) is None, "its trials are still to be made"
    for trial in round_.inputs.values():
        folder = tmp_path / "results" / trial.id
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    assert on_disk(round_) == []


def test_a_sweep_moves_no_artifact_of_its_experiment(tmp_path: Path) -> None:
    def ids(plan: Plan) -> set[str]:
        return {node.id for node in plan.nodes.values()}

    assert {name.split("/")[0] for name in ids(build(read(changed("sweeps", {})))) - ids(build(swept(tmp_path, GRID)))} == {
        "report"
    }


@pytest.mark.parametrize(
    ("sweep", "file", "message"),
    [
        ({"experiment": "gtp"}, GRID, "sweeps.s.experiment: unknown experiment 'gtp'; did you mean 'gpt'?"),
        ({"file": "absent.yaml"}, GRID, "sweeps.s: absent.yaml: no such settings file"),
        ({}, GRID | {"method": "gird"}, "method: input should be 'grid', 'random' or 'bayes'"),
        ({}, GRID | {"parameters": {"training.steps": {"values": ["many"]}}}, "parameters.training.steps: training.steps: input"),
        ({}, GRID | {"parameters": {"model.heads": {"values": [3]}}}, "refuses every trial; the first one: model"),
        ({}, HALVING | {"parameters": GRID["parameters"]}, "the first rung is step 2, when there is no validation_loss yet"),
        ({"experiment": "trigram"}, GRID, "experiment trigram is trained by counting"),
    ],
)
def test_mistakes_are_found_when_the_config_is_read(
    tmp_path: Path, sweep: dict[str, str], file: dict[str, Any], message: str
) -> None:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(file))
    data = changed("sweeps.s", {"experiment": "gpt", "file": str(tmp_path / "sweep.yaml")} | sweep)
    data["experiments"]["trigram"] = {"tokenizer": "bpe", "model": {"family": "ngram"}}
    with pytest.raises(UserError) as error:
        read(data)
    assert message in str(error.value)


def test_the_shipped_sweeps_are_planned(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    config = load(root / "config/sweeps.yaml")
    plan = build(config)
    assert {Path(sweep.file).name for sweep in config.sweeps.values()} <= {
        file.name for file in (root / "config/sweeps").iterdir()
    }
    assert len(plan.rounds["learning-rate"][0].settings["trials"]) == 10
    assert not plan.is_whole
