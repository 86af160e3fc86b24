"""The plots of a scaling study: IsoFLOP curves, the best sizes by compute, the lowest loss by compute."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.lm.reporting.figures import NARROW, WIDE, name_levels
from stages.lm.reporting.ladder import limits, short, ticks
from stages.lm.reporting.svg import FLOOR, INK, MUTED, PAPER, colour, inline
from stages.lm.studies.power_law import at
from stages.lm.studies.scaling_laws import Training, quadratic

METHODS = {"lowest": 0, "parabola": 1, "parametric": 2}
"""The series of each method's colour."""

Stats = Mapping[str, Any]


def isoflops(stats: Stats, name: str) -> str:
    """Loss by size, a colour for each budget, with the parabolas and the minima; the predicted training and its outcome."""
    runs = [row for row in stats["runs"] if row["loss"] is not None]
    budgets = stats["study"]["budgets"]

    def draw(figure: Any, _is_wide: bool) -> None:
        axes = figure.add_subplot()
        for number, budget in enumerate(budgets):
            _isoflop(axes, [row for row in runs if row["budget"] == budget], colour(number))
        for found in stats["minima"]:
            _minima(axes, found, colour(budgets.index(found["budget"])))
        _tested(axes, stats, "parameters")
        _logarithmic(axes, [row["parameters"] for row in (*runs, *_predicted(stats))])
        axes.set_xlabel("parameters in the blocks, N")
        axes.set_ylabel("nats per token")
        axes.grid(axis="y")

    alt = "Loss by size: " + "; ".join(
        f"{budget:.3g} FLOPs " + ", ".join(f"{row['parameters']:,} {row['loss']:.4f}" for row in runs if row["budget"] == budget)
        for budget in budgets
    )
    return inline(draw, name, alt, wide=(WIDE, 420), narrow=(NARROW, 380))


def _isoflop(axes: Any, rows: Sequence[Mapping[str, Any]], tint: str) -> None:
    axes.plot([row["parameters"] for row in rows], [row["loss"] for row in rows], "o", color=tint, markersize=5)
    if len(rows) >= 3:
        sizes = np.geomspace(min(row["parameters"] for row in rows), max(row["parameters"] for row in rows), 50)
        trainings = [Training(parameters=row["parameters"], compute_budget=row["budget"], final_loss=row["loss"]) for row in rows]
        axes.plot(sizes, np.polyval(quadratic(trainings), np.log(sizes)), color=tint, linewidth=1.2)


def _minima(axes: Any, found: Mapping[str, Any], tint: str) -> None:
    """A ring around the lowest training, a diamond at the minimum of the parabola."""
    if low := found["lowest"]:
        axes.plot([low["parameters"]], [low["loss"]], "o", color=tint, markersize=11, markerfacecolor="none")
    if low := found["parabola"]:
        axes.plot([low["parameters"]], [low["loss"]], "D", color=tint, markersize=7, markerfacecolor=PAPER)


def laws(stats: Stats, name: str) -> str:
    """The best size and number of tokens by compute: the minima, the power laws through them, and what was trained."""
    kinds = {"parameters": "parameters in the blocks, N", "tokens": "tokens, D"}
    ends = [stats["study"]["budgets"][0], stats["study"]["predict"]]

    def draw(figure: Any, is_wide: bool) -> None:
        panels = figure.subplots(*((1, 2) if is_wide else (2, 1)))
        for axes, (kind, label) in zip(panels, kinds.items(), strict=True):
            seen = []
            for method, law in stats["laws"].items():
                tint = colour(METHODS[method])
                points = [(found["budget"], _size(found, method, kind)) for found in stats["minima"] if found.get(method)]
                values = [at(law[kind], end) for end in ends]
                axes.plot(ends, values, color=tint, linewidth=1.4)
                axes.plot([point[0] for point in points], [point[1] for point in points], "o", color=tint, markersize=5)
                seen += [*values, *(point[1] for point in points)]
            for predicted in _predicted(stats):
                axes.plot([predicted["compute"]], [predicted[kind]], "o", color=INK, markersize=8, markerfacecolor="none")
            axes.set_xscale("log")
            axes.set_yscale("log")
            _ticks(axes.xaxis, *limits(ends))
            _ticks(axes.yaxis, *limits(seen))
            axes.set_xlim(*limits(ends))
            axes.set_ylim(*limits(seen))
            axes.set_xlabel("FLOPs, C = 6 N D")
            axes.set_ylabel(label)
            axes.grid(axis="y")

    alt = "The best size and number of tokens by compute: " + "; ".join(
        f"{method} N ~ C^{law['parameters']['exponent']:.2f}, D ~ C^{law['tokens']['exponent']:.2f}"
        for method, law in stats["laws"].items()
    )
    return inline(draw, name, alt, wide=(WIDE, 360), narrow=(NARROW, 640))


def _size(found: Mapping[str, Any], method: str, kind: str) -> float:
    size = float(found[method]["parameters"])
    return size if kind == "parameters" else float(found["budget"] / 6 / size)


def frontier(stats: Stats, name: str) -> str:
    """The lowest loss by compute: trainings, the parametric law with its interval, the prediction and its outcome."""
    curve = stats["frontier"]
    levels = [(stats["parametric"]["e"]["value"], "E", colour(2))]
    levels += [] if stats["floor"] is None else [(stats["floor"], "source", FLOOR)]

    def draw(figure: Any, _is_wide: bool) -> None:
        axes = figure.add_subplot()
        compute = [point["compute"] for point in curve]
        axes.fill_between(compute, *([point[end] for point in curve] for end in ("low", "high")), color=colour(2), alpha=0.2,
                          linewidth=0)  # fmt: skip
        axes.plot(compute, [point["value"] for point in curve], color=colour(2), linewidth=1.6)
        rows = [row for row in stats["runs"] if row["loss"] is not None and row["budget"] in stats["study"]["budgets"]]
        axes.plot([row["compute"] for row in rows], [row["loss"] for row in rows], "o", color=MUTED, markersize=4, alpha=0.6)
        low = [found for found in stats["minima"] if found["lowest"]]
        axes.plot(
            [found["budget"] for found in low], [found["lowest"]["loss"] for found in low], "o", color=colour(0), markersize=7
        )
        _tested(axes, stats, "compute")
        for level, _, tint in levels:
            axes.axhline(level, color=tint, linewidth=1.2, dashes=(4, 3))
        _logarithmic(axes, [row["compute"] for row in (*rows, *_predicted(stats))])
        axes.set_xlabel("FLOPs, C = 6 N D")
        axes.set_ylabel("nats per token")
        axes.grid(axis="y")
        name_levels(axes, levels, 380)

    alt = "The lowest loss by compute"
    for predicted in _predicted(stats):
        interval = f"[{predicted['low']:.4f}, {predicted['high']:.4f}]"
        alt += f": predicted {predicted['value']:.4f} {interval} at {predicted['compute']:.3g} FLOPs"
        found = stats["outcome"] and stats["outcome"]["loss"]
        alt += f", found {found:.4f}" if found else ""
    return inline(draw, name, alt, wide=(WIDE, 380), narrow=(NARROW, 340))


def _predicted(stats: Stats) -> list[Mapping[str, Any]]:
    return [stats["prediction"]] if stats["prediction"] else []


def _tested(axes: Any, stats: Stats, place: str) -> None:
    """The prediction as a bar that is its interval, and the outcome as a point."""
    for predicted in _predicted(stats):
        x = predicted[place]
        axes.plot([x, x], [predicted["low"], predicted["high"]], color=INK, linewidth=5, alpha=0.3, solid_capstyle="round")
        axes.plot([x], [predicted["value"]], "_", color=INK, markersize=12)
        found = stats["outcome"] and stats["outcome"]["loss"]
        below = found is not None and found > predicted["value"]
        _remark(axes, "predicted", (x, predicted["value"]), below)
        if found is not None:
            axes.plot([x], [found], "o", color=INK, markersize=7, markerfacecolor=PAPER)
            _remark(axes, "found", (x, found), not below)


def _remark(axes: Any, text: str, place: tuple[float, float], below: bool) -> None:
    """A word to the right of a point, a little below or above it."""
    axes.annotate(text, place, xytext=(8, -7 if below else 7), textcoords="offset points", va="center", color=INK)


def _logarithmic(axes: Any, values: list[float]) -> None:
    low, high = limits(values)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    _ticks(axes.xaxis, low, high)


def _ticks(axis: Any, low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    axis.set_major_locator(FixedLocator(ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: short(value))
