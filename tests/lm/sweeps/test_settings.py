"""The sweep file: what W&B's schema takes is taken, and what is wrong is named."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from stages.lm.errors import UserError
from stages.lm.sweeps.settings import load

GRID: dict[str, Any] = {"method": "grid", "parameters": {"training.steps": {"values": [1, 2]}}}
SHIPPED = sorted((Path(__file__).parents[3] / "config" / "sweeps").glob("*.yaml"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The JSON schema in W&B's package `sweeps`, which wants an older NumPy: only its file is read."""
    package = find_spec("sweeps")
    if package is None or package.origin is None:
        pytest.skip("W&B's schema is not here: pip install --no-deps --target FOLDER sweeps==0.3.0, and PYTHONPATH=FOLDER")
    return dict(json.loads((Path(package.origin).parent / "config" / "schema.json").read_text()))


def takes(schema: dict[str, Any], data: Any) -> bool:
    checker = jsonschema.FormatChecker()
    checker.checks("float")(lambda value: isinstance(value, float))
    checker.checks("integer")(lambda value: isinstance(value, int))
    return bool(jsonschema.Draft7Validator(schema, format_checker=checker).is_valid(data))


def written(folder: Path, data: Any) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return file


def test_every_distribution_and_key_of_the_published_schema_is_known(tmp_path: Path, schema: dict[str, Any]) -> None:
    draws = json.loads(Path(__file__).with_name("wandb_draws.json").read_text())
    whole = {
        "method": "bayes", "parameters": draws["parameters"] | {"nested": {"parameters": {"x": {"value": 1}}}}, "run_cap": 3,
        "metric": {"name": "loss", "goal": "maximize", "target": 1, "impute": "best", "impute_while_running": "false"},
        "early_terminate": {"type": "hyperband", "max_iter": 27, "s": 2, "eta": 3, "strict": True},
        "kind": "sweep", "apiVersion": "1", "name": "a", "description": "b", "program": "c", "project": "d", "entity": "e",
        "command": ["${env}", "python", "${args}"], "controller": {"type": "local"}, "job": "f", "image_uri": "g",
    }  # fmt: skip
    assert takes(schema, whole)
    read = load(written(tmp_path, whole))
    named = {definition["properties"]["distribution"]["enum"][0] for definition in map(first_form, schema["definitions"].values())
             if "distribution" in definition.get("properties", {})}  # fmt: skip
    assert {parameter.distribution for parameter in read.parameters.values()} == named
    refused = {"metrics", "scheduler"}
    assert whole.keys() | refused == schema["properties"].keys()


def first_form(definition: dict[str, Any]) -> dict[str, Any]:
    return dict(definition["anyOf"][0]) if "type" in definition.get("anyOf", [{}])[0] else definition


def test_nested_parameters_are_kept_as_dotted_paths(tmp_path: Path) -> None:
    """W&B's SweepConfig drops them silently."""
    nested = {
        "training": {"parameters": {"learning_rate": {"min": 0.1, "max": 0.2}, "deep": {"parameters": {"a": {"value": 1}}}}}
    }
    read = load(written(tmp_path, {"method": "random", "run_cap": 1, "parameters": nested}))
    assert list(read.parameters) == ["training.deep.a", "training.learning_rate"]


@pytest.mark.parametrize(
    ("entry", "distribution"),
    [
        ({"value": None}, "constant"),
        ({"values": [False]}, "categorical"),
        ({"values": [1, 2], "probabilities": [0.5, 0.5]}, "categorical_w_probabilities"),
        ({"min": 1, "max": 2}, "int_uniform"),
        ({"min": 1, "max": 2.0}, "uniform"),
    ],
)
def test_what_the_keys_imply(tmp_path: Path, entry: dict[str, Any], distribution: str) -> None:
    data = {"method": "random", "run_cap": 1, "parameters": {"a": entry}}
    assert load(written(tmp_path, data)).parameters["a"].distribution == distribution


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": "grid"}, "methods: unknown key 'methods'; did you mean 'method'?"),
        ({"method": "anneal"}, "method: input should be 'grid', 'random' or 'bayes'"),
        ({"method": "random"}, "run_cap: method random has no end of its own"),
        ({"method": "bayes", "run_cap": 3}, "metric: method bayes needs one"),
        ({"method": "custom"}, "use grid, random or bayes"),
        ({"metric": {"name": "accuracy"}}, "metric.name: input should be 'validation_loss' or 'loss'"),
        ({"metric": {"name": "loss"}, "early_terminate": {"type": "hyperband", "s": 2}}, "early_terminate: give min_iter"),
        ({"parameters": {"a.b": {}}}, "parameters.a.b: says nothing of its values"),
        ({"parameters": {"a.b": {"min": 2, "max": 1}}}, "parameters.a.b: min 2 is not less than max 1"),
        ({"parameters": {"a.b": {"min": 2}}}, "parameters.a.b: distribution int_uniform needs max"),
        ({"parameters": {"a.b": {"values": [1], "q": 2}}}, "parameters.a.b: q: means nothing to distribution categorical"),
        ({"parameters": {"a.b": {"distribution": "log_uniform_values", "min": 0, "max": 1}}}, "a.b: min 0 has no logarithm"),
        ({"parameters": {"a.b": {"values": [1, 2], "probabilities": [0.5]}}}, "has 2 values but 1 probabilities"),
        ({"parameters": {"a.b": {"values": [1, 2], "probabilities": [0.5, 0.6]}}}, "probabilities sum to 1.1 instead of 1"),
        (
            {"parameters": {"a.b": {"distribution": "unifrom", "min": 0, "max": 1}}},
            "parameters.a.b.distribution: input should be",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        load(written(tmp_path, GRID | change))
    assert message in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'sweep.yaml'}: ")


def test_a_number_that_yaml_takes_for_text_is_refused_as_wandb_refuses_it(tmp_path: Path) -> None:
    text = "{method: random, run_cap: 1, parameters: {a: {min: 1e-4, max: 1.0}}}"
    with pytest.raises(UserError, match=r"parameters.a: min: YAML takes 1e-4 for text, and so does W&B; write 1.0e-4"):
        load(written(tmp_path, text))


@pytest.mark.parametrize("text", ["- a", "a: [", None])
def test_a_file_that_is_no_sweep_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "absent.yaml" if text is None else written(tmp_path, text)
    with pytest.raises(UserError, match=str(file)):
        load(file)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_files_are_sweeps_to_wandb_too(file: Path, schema: dict[str, Any]) -> None:
    load(file)
    assert takes(schema, yaml.safe_load(file.read_text()))


def test_wandb_takes_and_refuses_what_is_taken_and_refused_here(schema: dict[str, Any]) -> None:
    for entry in ({"value": None}, {"values": [False]}, {"values": [1, 2], "probabilities": [0.5, 0.5]}, {"min": 1, "max": 2.0}):
        assert takes(schema, {"method": "random", "parameters": {"a": entry}})
    assert not takes(schema, {"method": "random", "parameters": {"a": {"min": "1e-4", "max": 1.0}}})
