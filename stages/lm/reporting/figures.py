"""The report's plots."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.reporting.comparison import Group
from stages.lm.reporting.curves import Curves, Points
from stages.lm.reporting.svg import FLOOR, INK, MUTED, inline

WIDE, COLUMN, NARROW = 960, 460, 390
"""Widths in pixels: the page, a column of it, a small screen."""


def comparison(group: Group, colours: dict[str, str], name: str) -> str:
    """Bits per byte of each experiment as a dot with its interval, the best on top, and the source's floor."""
    rows = group.rows

    def draw(figure: Any, is_wide: bool) -> None:
        axes = figure.add_subplot()
        heights = range(len(rows) - 1, -1, -1)
        for height, row in zip(heights, rows, strict=True):
            bits, tint = row.bits, colours[row.experiment.name]
            axes.plot([bits["low"], bits["high"]], [height, height], color=tint, linewidth=5, alpha=0.35, solid_capstyle="round")
            axes.plot([bits["value"]], [height], "o", color=tint, markersize=7)
            label = f"{bits['value']:.4f}"
            axes.annotate(label, (bits["high"], height), xytext=(9, 0), textcoords="offset points", va="center", color=INK)
        axes.set_yticks(list(heights), [row.experiment.name for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK, pad=8)
        axes.set_ylim(-0.6, len(rows) - 0.4 + (0.45 if group.floor is not None else 0))
        values = [row.bits["high"] for row in rows] + [row.bits["low"] for row in rows]
        if group.floor is not None:
            values.append(group.floor)
            axes.axvline(group.floor, color=FLOOR, linewidth=1.4, dashes=(4, 3))
            axes.annotate(f"source {group.floor:.4f}", (group.floor, len(rows) - 0.45), xytext=(6, 0), textcoords="offset points",
                          va="center", color=FLOOR)  # fmt: skip
        span = (max(values) - min(values)) or 0.1
        axes.set_xlim(min(values) - 0.08 * span, max(values) + (0.14 if is_wide else 0.28) * span)
        axes.set_xlabel("bits per byte (less is better)")
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")

    height = 84 + 32 * len(rows)
    described = ", ".join(f"{row.experiment.name} {row.bits['value']:.4f}" for row in rows)
    alt = f"Bits per byte: {described}" + (f"; the source itself {group.floor:.4f}" if group.floor is not None else "")
    return inline(draw, name, alt, wide=(WIDE, height), narrow=(NARROW, height))


def learning(curves: Curves, colours: dict[str, str]) -> str:
    """Training and validation loss by step and by wall-clock time."""
    timed = any(curve.seconds for curve in curves.curves)

    def draw(figure: Any, is_wide: bool) -> None:
        panels = 2 if timed else 1
        grid = (1, panels) if is_wide else (panels, 1)
        axes = np.atleast_1d(figure.subplots(*grid, sharey=True))
        _learning_panel(axes[0], curves, colours, by_time=False)
        if timed:
            _learning_panel(axes[1], curves, colours, by_time=True)
        axes[0].set_ylabel(curves.unit)
        if not is_wide and timed:
            axes[1].set_ylabel(curves.unit)

    names = ", ".join(curve.name for curve in curves.curves)
    alt = f"Learning curves of {names} in {curves.unit}, by step and by training time"
    return inline(draw, "learning", alt, wide=(WIDE, 340), narrow=(NARROW, 560 if timed else 300))


def _learning_panel(axes: Any, curves: Curves, colours: dict[str, str], by_time: bool) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    bottom, top = _loss_range(curves)
    ends: list[tuple[float, str, str]] = []  # (loss, label, colour)
    unit, seconds = _time_unit(max((max(curve.seconds.values(), default=0.0) for curve in curves.curves), default=0.0))
    for curve in curves.curves:
        tint = colours[curve.name]
        train, valid = (
            (curve.by_time(curve.train, seconds), curve.by_time(curve.valid, seconds)) if by_time else (curve.train, curve.valid)
        )
        if train:
            axes.plot(*zip(*train, strict=True), color=tint, linewidth=0.9, alpha=0.45)
        if valid:
            axes.plot(*zip(*valid, strict=True), color=tint, linewidth=2.0, marker="o", markersize=3.5)
        if curve.level is not None:
            axes.axhline(curve.level, color=tint, linewidth=1.6)
            ends.append((curve.level, curve.name, tint))
        elif train or valid:
            ends.append(((valid or train)[-1][1], curve.name, tint))
    if curves.floor is not None:
        axes.axhline(curves.floor, color=FLOOR, linewidth=1.4, dashes=(4, 3))
        ends.append((curves.floor, "source", FLOOR))
    axes.set_ylim(bottom, top)
    if top > 4 * bottom:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    heights = axes.transAxes.inverted().transform(axes.transData.transform([(0, end[0]) for end in ends]))[:, 1]
    for (_, name, tint), height in zip(ends, spread(heights.tolist(), 0.06), strict=True):
        axes.annotate(name, (1, height), xycoords="axes fraction", xytext=(6, 0), textcoords="offset points",
                      va="center", color=tint, annotation_clip=False)  # fmt: skip
    axes.set_xlim(left=0)
    axes.margins(x=0)
    axes.set_xlabel(f"training time, {unit}" if by_time else "step")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _time_unit(longest: float) -> tuple[str, float]:
    """The unit for an axis up to `longest` seconds, and its seconds."""
    return ("seconds", 1.0) if longest < 180 else ("minutes", 60.0) if longest < 10800 else ("hours", 3600.0)


def _loss_range(curves: Curves) -> tuple[float, float]:
    """Limits that show where models differ: the cliff of the first twentieth of training is cut off."""
    seen: list[float] = [] if curves.floor is None else [curves.floor]
    for curve in curves.curves:
        points: Points = curve.valid + curve.train
        last = max((step for step, _ in points), default=0.0)
        seen += [loss for step, loss in points if step >= last / 20 and math.isfinite(loss)]
        seen += [] if curve.level is None else [curve.level]
    return min(seen) * 0.93, max(seen) * 1.05


def spread(heights: list[float], gap: float) -> list[float]:
    """Positions for labels as near as can be to `heights`, in their order, and no two nearer than `gap`."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    blocks: list[tuple[float, list[int]]] = []  # (centre, members from low to high)
    for i in order:
        blocks.append((heights[i], [i]))
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < gap * (len(blocks[-1][1]) + len(blocks[-2][1])) / 2:
            (above, upper), (below, lower) = blocks.pop(), blocks.pop()
            members = lower + upper
            blocks.append(((above * len(upper) + below * len(lower)) / len(members), members))
    placed = dict.fromkeys(order, 0.0)
    for centre, members in blocks:
        for rank, i in enumerate(members):
            placed[i] = centre + gap * (rank - (len(members) - 1) / 2)
    return [placed[i] for i in range(len(heights))]


def histogram(values: NDArray[np.int64], name: str, label: str) -> str:
    """How often each length occurs, with the median marked; lengths that span orders of magnitude on a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    low, high, median = int(values.min()), int(values.max()), float(np.median(values))
    logarithmic = np.quantile(values, 0.99) > 30 * max(np.quantile(values, 0.01), 1)
    even = np.arange(low, high + 2, max(1, (high - low) // 40)) - 0.5
    bins = np.geomspace(max(low, 1), high + 1, 41) if logarithmic else even
    counts, edges = np.histogram(values, bins)

    def draw(figure: Any, _is_wide: bool) -> None:
        axes = figure.add_subplot()
        widths = np.diff(edges)
        axes.bar(edges[:-1] + 0.06 * widths, counts, widths * 0.88, align="edge", color=MUTED, alpha=0.55)
        axes.axvline(median, color=INK, linewidth=1.2)
        axes.annotate(f"median {median:,g}", (median, 1), xycoords=("data", "axes fraction"), xytext=(6, -2),
                      textcoords="offset points", va="top", color=INK)  # fmt: skip
        axes.set_ylim(0, 1.2 * counts.max())
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.set_xlabel(label)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)

    alt = f"Histogram of {label}: from {low:,} to {high:,}, median {median:,g}"
    return inline(draw, name, alt, wide=(COLUMN, 190), narrow=(NARROW, 190))
