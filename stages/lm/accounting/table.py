"""An estimate as a table that a person reads."""

from collections.abc import Callable, Mapping
from typing import Any


def table(estimate: Mapping[str, Any]) -> str:
    """Parameters, operations and memory by component, then the totals of the run."""
    blocks = [
        _block("parameters", estimate["parameters"], lambda value: f"{value:,}"),
        _operations(estimate["flops"]),
        _block(_where(estimate["spread"]), estimate["memory_bytes"], lambda value: f"{value / 1e6:,.1f} MB"),
    ]
    seconds, speed = estimate["time"]["seconds"], estimate["time"]["tokens_per_second"]
    promised = "not measured" if seconds is None else f"{duration(seconds)} at {speed:,.0f} tokens/s"
    promised += "".join(f", {value:,.3g} {unit}" for value, unit in _price(estimate["time"]))
    total = f"{estimate['flops']['training_total']:.3g} FLOPs for {estimate['tokens']:,} tokens"
    cache = estimate["decoding"].get("cache_bytes")
    kept = f"; decoding keeps {cache / 1e6:,.2f} MB of a text as long as the context" if cache else ""
    by_hand = estimate.get("course_memory_bytes", {}).get("total")
    course = f"\nmemory by the course's formula, all in float32 and kept: {by_hand / 1e6:,.1f} MB" if by_hand else ""
    return "\n\n".join([*blocks, f"training: {total}, {promised}{kept}{course}", *_predicted(estimate)])


def _where(spread: Mapping[str, Any]) -> str:
    """Whose memory it is."""
    processes = spread["processes"]
    return "memory in training" + (f", each of {processes} processes by {spread['engine']}" if processes > 1 else "")


def _operations(flops: Mapping[str, Any]) -> str:
    """By component: the products of both passes, and what else a forward pass computes; then the optimizer's step."""
    columns = [flops[f"{name}_per_token"] for name in ("forward", "backward", "elementwise")]
    names = dict.fromkeys(name for column in columns for name in column if name != "total")
    lines = [f"{'FLOPs per token':<26}{'forward':>18}{'backward':>18}{'elementwise':>18}"]
    for name in (*names, "total"):
        lines.append(f"  {name.replace('_', ' '):<24}" + "".join(f"{column.get(name, 0):>18,}" for column in columns))
    again, update = flops["recomputed_per_token"]["total"], flops["update_per_step"]["total"]
    recomputed = f"; {again:,} per token for what is computed again" if again else ""
    return "\n".join([*lines, f"  {update:,} in each update{recomputed}"])


def _price(time: Mapping[str, float]) -> list[tuple[float, str]]:
    return [(time[key], unit) for key, unit in (("energy_kwh", "kWh"), ("cost", "of money")) if key in time]


def _predicted(estimate: Mapping[str, Any]) -> list[str]:
    """Where a step's time goes, and how fast a model writes."""
    lines, found = [], estimate["predicted"]
    if found:
        shares = ", ".join(f"{part} {share:.0%}" for part, share in found["shares"].items())
        of_peak = f"{found['utilisation']:.0%} of the peak of the machine ({found['machine']})"
        lines.append(f"a step by its operations: {duration(found['seconds_per_step'])}, {of_peak}; {shares}")
    if writes := estimate["decoding"].get("tokens_per_second"):
        lines.append("writing: " + ", ".join(f"{speed:,.0f} tokens/s {texts}" for texts, speed in writes.items()))
    return lines


def duration(seconds: float) -> str:
    """35 ms, 12 s, 3 min 20 s, 5 h 12 min, 3.4 days."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 86400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds / 86400:.1f} days"


def _block(title: str, components: Mapping[str, int], show: Callable[[int], str]) -> str:
    """A title and one line for each component: its name, its size, its share of the total."""
    total = components["total"] or 1
    lines = [f"  {name.replace('_', ' '):<24}{show(value):>18}{value / total:>8.1%}" for name, value in components.items()]
    return "\n".join([title, *lines])
