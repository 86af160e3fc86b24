"""Sweep files as tests write them."""

from typing import Any

from stages.lm.settings import parse
from stages.lm.sweeps.search import Ours, SearchSettings
from stages.lm.sweeps.settings import Parameter, SweepFile

BASE: dict[str, Any] = {
    "model": {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 16},
    "training": {"steps": 90, "validate_every": 5},
}
METRIC = {"name": "validation_loss", "goal": "minimize"}


def space(parameters: dict[str, Any]) -> dict[str, Parameter]:
    return parse(SweepFile, {"method": "random", "run_cap": 1, "parameters": parameters}, "").parameters


def search(method: str, parameters: dict[str, Any], ours: Ours | None = None, **keys: Any) -> SearchSettings:
    file = parse(SweepFile, {"method": method, "metric": METRIC, "parameters": parameters, **keys}, "")
    return SearchSettings.of(file, ours or Ours(), BASE)
