"""What was promised of a training beside what it took: the estimate held to account."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One quantity."""

    quantity: str
    unit: str
    predicted: float | None
    measured: float | None

    @property
    def error(self) -> float | None:
        """By how many per cent of the measurement the prediction is too high; None where one of both is missing."""
        if self.predicted is None or not self.measured:
            return None
        return 100 * (self.predicted / self.measured - 1)

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return {**self._asdict(), "error_percent": self.error}


def reconcile(
    estimate: Mapping[str, Any],
    trained: Mapping[str, Any] | None,
    timing: Mapping[str, Any] | None,
    writing: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Every quantity of the estimate beside its measurement.

    estimate: stats.json of the estimate. trained, timing: stats.json and timing.json of the training. writing: timing.json of the
    decoding, of a language model. Operations are not counted by a run, so theirs are not compared; tests hold those of a token to
    torch's counter. What multiplies nothing has none.
    """
    trained, timing, writing = trained or {}, timing or {}, writing or {}
    time = estimate["time"]
    written = estimate.get("decoding", {}).get("tokens_per_second", {}).get(f"{writing.get('at_once')} at once")
    return [
        Row("parameters", "", estimate["parameters"]["total"], trained.get("parameters")),
        Row("tokens", "", estimate.get("tokens"), trained.get("tokens")),
        Row("operations", "FLOP", estimate["flops"]["training_total"] or None, None),
        Row("peak memory", "bytes", estimate["memory_bytes"]["total"], timing.get("training_memory_bytes")),
        Row("training time", "seconds", time["seconds"], timing.get("seconds")),
        Row("tokens a second", "tokens/s", time["tokens_per_second"], timing.get("tokens_per_second")),
        Row("tokens a second, decoding", "tokens/s", written, writing.get("tokens_per_second")),
    ]


def errors(rows: list[Row]) -> dict[str, float]:
    """The errors in per cent of all quantities that have one."""
    return {row.quantity: row.error for row in rows if row.error is not None}
