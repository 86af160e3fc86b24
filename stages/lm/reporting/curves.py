"""Learning curves of all experiments on one scale, by step and by wall-clock time."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from stages.lm.reporting.comparison import Group
from stages.lm.reporting.experiments import Experiment, distinct
from stages.lm.tokenizers.spelling import NATS_PER_LETTER

Points = list[tuple[float, float]]
Scale = Literal["steps", "operations", "time"]
SCALES: dict[Scale, str] = {"steps": "step", "operations": "operations", "time": "training time"}
"""What losses are drawn by, and how that axis is called."""


@dataclass
class Curve:
    """One experiment's losses on the common scale. A model trained by counting has a single level instead of a curve."""

    name: str
    train: Points = field(default_factory=list)
    """(step, loss)"""
    valid: Points = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    """Wall-clock time of training at the logged steps."""
    flops_per_step: float = 0.0
    """Operations of a training step by the estimate; 0 where there is none."""
    level: float | None = None

    @property
    def last(self) -> float:
        """The last step that was logged."""
        return max((step for step, _ in self.train + self.valid), default=0.0)

    def scaled(self, points: Points, scale: Scale, unit: float = 1.0) -> Points:
        """(steps, operations or seconds, in units of that size; loss) of those points for which it is known."""
        if scale == "steps":
            return [(step / unit, loss) for step, loss in points]
        if scale == "operations":
            return [(step * self.flops_per_step / unit, loss) for step, loss in points if self.flops_per_step]
        return [(self.seconds[int(step)] / unit, loss) for step, loss in points if int(step) in self.seconds]


@dataclass(frozen=True)
class Curves:
    """All curves, the unit of their losses, and the source's entropy in that unit where it is known."""

    unit: str
    curves: list[Curve]
    floor: float | None

    def has(self, scale: Scale) -> bool:
        """Whether losses can be drawn by it; operations only where they tell more than steps do."""
        if scale == "time":
            return any(curve.seconds for curve in self.curves)
        return scale == "steps" or len({curve.flops_per_step for curve in self.curves} - {0.0}) > 1


OWN_UNITS = {"masked": "nats per hidden token", "vectors": "nats per prediction"}
"""Losses that mean something else than that of the next token, by the task of the model."""


def all_curves(experiments: list[Experiment], groups: Iterable[Group]) -> list[Curves]:
    """The curves of all experiments: together, what has the same kind of loss."""
    found = [learning_curves([experiment for experiment in experiments if experiment.task not in OWN_UNITS], groups)]
    for task, unit in OWN_UNITS.items():
        curves = [_curve(experiment, per_token=True) for experiment in experiments if experiment.task == task]
        found.append(Curves(unit, [curve for curve in curves if curve is not None], None))
    return [curves for curves in found if curves is not None and curves.curves]


def learning_curves(experiments: list[Experiment], groups: Iterable[Group]) -> Curves | None:
    """The curves of models that predict the next token, None where nothing was logged.

    Losses per token mean the same under one tokenizer only; under several the scale is bits per byte of the validation split.
    """
    per_token = len(distinct(experiments, "tokenize")) <= 1
    curves = [curve for curve in (_curve(experiment, per_token) for experiment in experiments) if curve is not None]
    if not any(curve.valid or curve.train for curve in curves):
        return None
    entropies = {group.entropy for group in groups}
    floor = entropies.pop() if len(entropies) == 1 else None
    if per_token and floor is not None:
        scale = _bits_per_byte(experiments[0])
        floor = floor / scale if scale and not _spelling(experiments[0]) else None
    return Curves("nats per token" if per_token else "bits per byte", curves, floor)


def _curve(experiment: Experiment, per_token: bool) -> Curve | None:
    scale = 1.0 if per_token else _bits_per_byte(experiment)
    lines = experiment.lines("train", "metrics.jsonl")
    if scale is None or "train" not in experiment.parts:
        return None
    offset = 0.0 if per_token else _spelling(experiment)
    curve = Curve(
        experiment.name,
        train=[(line["step"], line["loss"] * scale + offset) for line in lines if "loss" in line],
        valid=[(line["step"], line["validation_loss"] * scale + offset) for line in lines if "validation_loss" in line],
        flops_per_step=_flops_per_step(experiment),
        seconds={line["step"]: line["seconds"] for line in experiment.lines("train", "timing.jsonl")},
    )
    if len(curve.valid) + len(curve.train) < 2:
        loss = experiment.value("evaluate", "stats.json", "nats_per_token")
        level = curve.valid[0][1] if curve.valid else loss and loss * scale + offset
        curve.level = level if level is not None and math.isfinite(level) else None
        curve.train, curve.valid = [], []
    return curve


def _flops_per_step(experiment: Experiment) -> float:
    steps = experiment.parts["train"].settings["training"].get("steps")
    return (experiment.training_flops or 0.0) / steps if steps else 0.0


def _bits_per_byte(experiment: Experiment) -> float | None:
    """Bits per byte that one nat per token is in the validation split, its end-of-text tokens included."""
    split = experiment.value("tokenize", "stats.json", "splits", "valid")
    split = (split or {}).get("target", split)  # of a pair the target is predicted
    return split["tokens"] / split["bytes"] / math.log(2) if split and split["bytes"] else None


def _spelling(experiment: Experiment) -> float:
    """Bits per byte of the validation split that spell what unknown tokens hide."""
    split = experiment.value("tokenize", "stats.json", "splits", "valid") or {}
    return split["spelled"] * NATS_PER_LETTER / math.log(2) / split["bytes"] if split.get("spelled") and split["bytes"] else 0.0
