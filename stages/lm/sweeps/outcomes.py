"""What came of a trial: its state, its losses, and what it cost."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from stages.lm.settings import Settings
from stages.lm.sweeps.settings import Metric

State = Literal["finished", "paused", "diverged", "failed"]
MEASURED = ("loss", "validation_loss")

WORSE = 1.1
"""How many times the loss of guessing evenly is too much: a network that has not learned yet is a little above it."""


class Outcome(Settings, allow_inf_nan=True):
    """What is known of a training, up to its end or to the rung at which it paused."""

    state: State
    """diverged: the loss stopped being a number, or is a tenth above that of guessing evenly; failed: ended in any other way."""
    until: int | None = None
    """The rung."""
    steps: int = 0
    """Steps done, as far as they were logged."""
    tokens: int = 0
    flops: float = 0.0
    """Operations of these steps."""
    last: dict[str, float] = {}
    """The last value of each loss, in nats per token."""
    best: dict[str, float] = {}
    """The lowest one."""
    message: str | None = None
    """Why it failed."""

    def cost(self, metric: Metric, strict: bool = True) -> float:
        """What is compared, less is better; infinite where there is no result. Not `strict`: the best value so far."""
        value = (self.last if strict else self.best).get(metric.name)
        return math.inf if value is None or self.state in ("diverged", "failed") else metric.cost(value)


def summary(
    records: Iterable[Mapping[str, Any]], until: int | None, flops_per_token: float, uniform: float | None, failure: str | None
) -> Outcome:
    """The outcome that the lines of a training's metrics tell, up to step `until`.

    `uniform` is the loss of guessing evenly, where losses can be compared with that; `failure` is what the training ended with.
    """
    lines = [record for record in records if until is None or record["step"] <= until]
    known: dict[str, list[float]] = {name: [line[name] for line in lines if name in line] for name in MEASURED}
    is_lost = any(line.get("finite") is False for line in lines)
    is_lost = is_lost or not all(math.isfinite(value) for values in known.values() for value in values)
    known = {name: [value for value in values if math.isfinite(value)] for name, values in known.items()}
    last = {name: values[-1] for name, values in known.items() if values}
    state: State = "finished" if until is None else "paused"
    is_worse = uniform is not None and last.get("validation_loss", 0.0) > WORSE * uniform
    if is_lost or is_worse:
        state = "diverged"
    elif failure is not None:
        state = "failed"
    tokens = max((line["tokens"] for line in lines), default=0)
    return Outcome(
        state=state,
        until=until,
        steps=max((line["step"] for line in lines), default=0),
        tokens=tokens,
        flops=flops_per_token * tokens,
        last=last,
        best={name: min(values) for name, values in known.items() if values},
        message=failure or ("its loss is above that of guessing evenly" if is_worse else None),
    )
