"""The ladder: bits per byte against what a model costs, in parameters, operations and seconds, on logarithmic axes."""

import math
from dataclasses import dataclass
from typing import Any

from stages.lm.reporting.comparison import Group
from stages.lm.reporting.figures import FURNITURE, LINE, NARROW, WIDE, name_levels
from stages.lm.reporting.svg import FLOOR, PAPER, inline

COSTS = {
    "parameters": "parameters",
    "training_flops": "training operations (FLOP)",
    "training_seconds": "training time (seconds)",
}
"""Keys of a comparison's record, and how their axes are called."""

NARROWEST = 4.0
"""An axis spans at least this factor, so that equal costs do not look different."""


@dataclass(frozen=True)
class Point:
    """One experiment."""

    name: str
    bits: float
    costs: dict[str, float]
    """Those that are known and above zero."""
    counted: bool


@dataclass(frozen=True)
class Ladder:
    """The plot, and what its caption has to say."""

    plot: str
    counted: list[str]
    """Models without operations, where operations are shown."""
    infinite: list[str]
    """Models whose loss is infinite, which are not shown."""


def ladder(group: Group, colours: dict[str, str], name: str) -> Ladder | None:
    """The ladder of experiments over the same documents; None where fewer than two can be shown."""
    found = [_point(row.record()) for row in group.rows]
    points = [point for point in found if math.isfinite(point.bits)]
    costs = [cost for cost in COSTS if any(cost in point.costs for point in points)]
    if len(points) < 2 or not costs:
        return None

    def draw(figure: Any, is_wide: bool) -> None:
        grid = (1, len(costs)) if is_wide else (len(costs), 1)
        panels = figure.subplots(*grid, sharey=True, squeeze=False).flatten()
        ends = [(point.bits, point.name, colours[point.name]) for point in points]
        if group.floor is not None:
            ends.append((group.floor, "source", FLOOR))
        for axes, cost in zip(panels, costs, strict=True):
            _panel(axes, points, cost, group.floor, colours)
        for axes in panels[-1:] if is_wide else panels:
            name_levels(axes, ends, height)
        for axes in panels[:1] if is_wide else panels:
            axes.set_ylabel("bits per byte")

    height = max(240, FURNITURE + LINE * (len(points) + 1))
    alt = "Bits per byte by " + ", ".join(COSTS[cost] for cost in costs) + ": " + "; ".join(map(_described, points))
    plot = inline(draw, name, alt, wide=(WIDE, height), narrow=(NARROW, height * len(costs)))
    counted = [point.name for point in points if point.counted] if "training_flops" in costs else []
    return Ladder(plot, counted, [point.name for point in found if point not in points])


def _point(record: dict[str, Any]) -> Point:
    costs = {cost: float(record[cost]) for cost in COSTS if record[cost]}
    return Point(record["experiment"], record["bits_per_byte"], costs, record["family"] == "ngram")


def _described(point: Point) -> str:
    return f"{point.name} {point.bits:.4f} with " + ", ".join(f"{COSTS[cost]} {value:.3g}" for cost, value in point.costs.items())


def _panel(axes: Any, points: list[Point], cost: str, floor: float | None, colours: dict[str, str]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    low, high = limits([point.costs[cost] for point in points if cost in point.costs])
    for point in points:
        tint = colours[point.name]
        axes.axhline(point.bits, color=tint, linewidth=0.7, alpha=0.3)  # leads to the name at the right
        if cost in point.costs:
            axes.plot([point.costs[cost]], [point.bits], "o", color=tint, markersize=7)
        elif point.counted:
            axes.plot([low], [point.bits], "o", color=tint, markersize=7, markerfacecolor=PAPER, clip_on=False, zorder=3)
    if floor is not None:
        axes.axhline(floor, color=FLOOR, linewidth=1.4, dashes=(4, 3))
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    _logarithmic_height(axes, [point.bits for point in points] + ([] if floor is None else [floor]))
    axes.xaxis.set_major_locator(FixedLocator(ticks(low, high)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.set_xlabel(COSTS[cost])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", which="both", length=0)


def limits(values: list[float]) -> tuple[float, float]:
    """The ends of a logarithmic axis: some room about the values, and at least `NARROWEST` between them."""
    low, high = min(values), max(values)
    room = max((high / low) ** 0.12, (NARROWEST / (high / low)) ** 0.5)
    return low / room, high * room


def _logarithmic_height(axes: Any, values: list[float]) -> None:
    from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

    low, high = min(values), max(values)
    room = max((high / low) ** 0.06, 1.01)
    axes.set_yscale("log")
    axes.set_ylim(low / room, high * room)
    even = FixedLocator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)) if high > 3 * low else even)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(low / room, high * room)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between the ends of a logarithmic axis: powers of ten, and some between them where it is short."""
    decades = math.log10(high / low)
    marks = (1, 2, 5) if decades < 1.2 else (1, 3) if decades < 2.5 else (1,)
    step = math.ceil(decades / 5)  # on a long axis every so many powers
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [mark * 10.0**power for power in powers if power % step == 0 for mark in marks if low <= mark * 10.0**power <= high]


def short(value: float) -> str:
    """A round number in few letters: 2, 50k, 3M, 2e13."""
    if value >= 1e10 or value < 1e-2:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
