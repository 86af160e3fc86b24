"""Learning curves of all experiments on one scale, by step and by wall-clock time."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from stages.lm.reporting.comparison import Group
from stages.lm.reporting.experiments import Experiment, distinct

Points = list[tuple[float, float]]


@dataclass
class Curve:
    """One experiment's losses on the common scale. A model trained by counting has a single level instead of a curve."""

    name: str
    train: Points = field(default_factory=list)
    """(step, loss)"""
    valid: Points = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    """Wall-clock time of training at the logged steps."""
    level: float | None = None

    def by_time(self, points: Points, unit: float) -> Points:
        """(time in units of so many seconds, loss) of those points whose time is known."""
        return [(self.seconds[int(step)] / unit, loss) for step, loss in points if int(step) in self.seconds]


@dataclass(frozen=True)
class Curves:
    """All curves, the unit of their losses, and the source's entropy in that unit where it is known."""

    unit: str
    curves: list[Curve]
    floor: float | None


def learning_curves(experiments: list[Experiment], groups: Iterable[Group]) -> Curves | None:
    """The curves, None where nothing was logged.

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
        floor = floor / scale if scale else None
    return Curves("nats per token" if per_token else "bits per byte", curves, floor)


def _curve(experiment: Experiment, per_token: bool) -> Curve | None:
    scale = 1.0 if per_token else _bits_per_byte(experiment)
    lines = experiment.lines("train", "metrics.jsonl")
    if scale is None or "train" not in experiment.parts:
        return None
    curve = Curve(
        experiment.name,
        train=[(line["step"], line["loss"] * scale) for line in lines if "loss" in line],
        valid=[(line["step"], line["validation_loss"] * scale) for line in lines if "validation_loss" in line],
        seconds={line["step"]: line["seconds"] for line in experiment.lines("train", "timing.jsonl")},
    )
    if len(curve.valid) + len(curve.train) < 2:
        loss = experiment.value("evaluate", "stats.json", "nats_per_token")
        curve.level = curve.valid[0][1] if curve.valid else loss and loss * scale
        curve.train, curve.valid = [], []
    return curve


def _bits_per_byte(experiment: Experiment) -> float | None:
    """Bits per byte that one nat per token is in the validation split, its end-of-text tokens included."""
    split = experiment.value("tokenize", "stats.json", "splits", "valid")
    return split["tokens"] / split["bytes"] / math.log(2) if split and split["bytes"] else None
