"""Variants in the plan: their code is part of every path, sweeps vary their own keys and their files."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.lm.errors import UserError
from tests.lm.models.huggingface.variants import GATED, REZERO, SIZES, changed
from tests.workflow.configs import BASE
from workflow.config import Config
from workflow.plan import build
from workflow.reading import read


def config(file: object = GATED, sweep: dict[str, Any] | None = None, **more: Any) -> Config:
    """The config of tests with a variant, and a sweep of it."""
    model = {"family": "huggingface", "file": str(file), "context_length": 8, "config": SIZES}
    variant = {"tokenizer": "bpe", "model": model, "training": {"backend": "trainer", "steps": 5}, "export": {}}
    sweeps = {} if sweep is None else {"s": {"experiment": "variant", "file": str(written(sweep, Path(str(file)).parent))}}
    return read({**BASE, "experiments": {"variant": variant}, "studies": {}, "sweeps": sweeps, **more})


def written(parameters: dict[str, Any], folder: Path) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}))
    return file


def test_another_code_has_other_paths_and_a_comment_has_the_same(tmp_path: Path) -> None:
    plans = {}
    for name, replacement in {"as it is": ("", ""), "comment": ("A changed", "One's"), "code": (".sigmoid()", ".tanh()")}.items():
        plans[name] = {node.id for node in build(config(changed(tmp_path, replacement))).nodes.values()}
    assert plans["as it is"] == plans["comment"]
    other = {identity.partition("/")[0] for identity in plans["code"] - plans["as it is"]}
    assert other == {"estimate", "train", "evaluate", "decode", "export", "report"}


def test_trainer_is_part_of_the_code_of_its_trainings_alone() -> None:
    (train,) = build(config()).stage("train")
    assert train.modules == ("stages.lm.models.huggingface.model", "stages.lm.training.trainer")
    assert train.settings["training"]["backend"] == "trainer"
    (other,) = build(read(BASE)).stage("train")
    assert other.modules == ("stages.lm.models.transformer",)


def test_a_sweep_varies_files_and_their_keys(tmp_path: Path) -> None:
    other = str(changed(tmp_path, file=REZERO))
    file = str(changed(tmp_path))
    trials = build(config(file, {"model.file": {"values": [file, other]}})).stage("trial")
    assert len({trial.settings["model"]["code"] for trial in trials}) == 2
    trials = build(config(file, {"model.config.gate": {"values": ["none", "head"]}})).stage("trial")
    assert [trial.settings["model"]["config"]["gate"] for trial in trials] == ["none", "head"]
    with pytest.raises(UserError, match=r"sweeps\.s: .*config\.gait: unknown key 'gait'; did you mean 'gate'\?"):
        config(file, {"model.config.gait": {"values": ["none", "head"]}})


def test_several_processes_are_refused_before_anything_runs() -> None:
    message = (
        r"experiments\.variant\.training\.backend: trainer trains in one process, and its job asks for 2; take the backend loop"
    )
    with pytest.raises(UserError, match=message):
        config(execution={"jobs": {"train": {"processes": 2}}})
