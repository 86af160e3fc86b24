"""The report's plots."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.reporting.cells import SPACE, operations
from stages.lm.reporting.comparison import Group
from stages.lm.reporting.curves import SCALES, Curves, Points, Scale
from stages.lm.reporting.svg import FLOOR, INK, MUTED, inline

WIDE, COLUMN, NARROW = 960, 460, 390
"""Widths in pixels: the page, a column of it, a small screen."""
LINE, FURNITURE = 17, 60
"""Pixels that a name at the side of a plot takes, and those below and above the axes."""


def comparison(group: Group, colours: dict[str, str], name: str) -> str:
    """Bits per byte of each experiment as a dot with its interval, the best on top, and the source's floor.

    A row without a dot says that its loss is infinite.
    """
    rows = group.rows

    def draw(figure: Any, is_wide: bool) -> None:
        axes = figure.add_subplot()
        heights = range(len(rows) - 1, -1, -1)
        for height, row in zip(heights, rows, strict=True):
            bits, tint = row.bits, colours[row.experiment.name]
            if not math.isfinite(bits["value"]):
                axes.annotate("infinite", (1, height), xycoords=("axes fraction", "data"), va="center", ha="right", color=INK)
                continue
            axes.plot([bits["low"], bits["high"]], [height, height], color=tint, linewidth=5, alpha=0.35, solid_capstyle="round")
            axes.plot([bits["value"]], [height], "o", color=tint, markersize=7)
            label = f"{bits['value']:.4f}"
            axes.annotate(label, (bits["high"], height), xytext=(9, 0), textcoords="offset points", va="center", color=INK)
        axes.set_yticks(list(heights), [row.experiment.name for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK, pad=8)
        axes.set_ylim(-0.6, len(rows) - 0.4 + (0.45 if group.floor is not None else 0))
        ends = [row.bits[end] for row in rows for end in ("low", "high")]
        values = [end for end in ends if math.isfinite(end)] or [0.0]
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


def learning(curves: Curves, colours: dict[str, str], name: str = "learning") -> str:
    """Training and validation loss by step, by operations where steps differ in them, and by wall-clock time."""
    scales = [scale for scale in SCALES if curves.has(scale)]

    def draw(figure: Any, is_wide: bool) -> None:
        grid = (1, len(scales)) if is_wide else (len(scales), 1)
        panels = np.atleast_1d(figure.subplots(*grid, sharey=True))
        for axes, scale in zip(panels, scales, strict=True):
            _learning_panel(axes, curves, colours, scale, named=not is_wide or axes is panels[-1], height=height)
            if not is_wide or axes is panels[0]:
                axes.set_ylabel(curves.unit)

    height = max(300, FURNITURE + LINE * (len(curves.curves) + 1))
    names = ", ".join(curve.name for curve in curves.curves)
    alt = f"Learning curves of {names} in {curves.unit}, by {', '.join(SCALES[scale] for scale in scales)}"
    return inline(draw, name, alt, wide=(WIDE, max(340, height)), narrow=(NARROW, height * len(scales)))


def _learning_panel(axes: Any, curves: Curves, colours: dict[str, str], scale: Scale, named: bool, height: float) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    bottom, top = _loss_range(curves)
    ends: list[tuple[float, str, str]] = []  # (loss, label, colour)
    unit, size = _unit(curves, scale)
    for curve in curves.curves:
        tint = colours[curve.name]
        train, valid = (curve.scaled(points, scale, size) for points in (curve.train, curve.valid))
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
    if named:
        name_levels(axes, ends, height)
    axes.set_xlim(left=0)
    axes.margins(x=0)
    axes.set_xlabel(f"{SCALES[scale]}, {unit}" if unit else SCALES[scale])
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def name_levels(axes: Any, ends: list[tuple[float, str, str]], height: float) -> None:
    """Names (level, name, colour) at the right of a panel some `height` pixels high, each at its level, none over another."""
    width = axes.bbox.width
    levels = axes.transAxes.inverted().transform(axes.transData.transform([(1, end[0]) for end in ends]))[:, 1]
    for (_, name, tint), own, level in zip(ends, levels, spread(levels.tolist(), LINE / (height - FURNITURE)), strict=True):
        axes.annotate("", (1, own), xytext=(1 + 14 / width, level), xycoords="axes fraction", annotation_clip=False,
                      arrowprops={"arrowstyle": "-", "color": tint, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0})  # fmt: skip
        axes.annotate(name, (1 + 14 / width, level), xycoords="axes fraction", xytext=(4, 0), textcoords="offset points",
                      va="center", color=tint, annotation_clip=False)  # fmt: skip


def _unit(curves: Curves, scale: Scale) -> tuple[str, float]:
    """The unit for the axis of all curves, and its size."""
    if scale == "steps":
        return "", 1.0
    if scale == "operations":
        largest = max(curve.flops_per_step * curve.last for curve in curves.curves)
        size = 1000.0 ** int(math.log(max(largest, 1.0), 1000) + 1e-12)
        return operations(size).split(SPACE)[1], size
    longest = max((max(curve.seconds.values(), default=0.0) for curve in curves.curves), default=0.0)
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


def alignment(source: list[str], target: list[str], weights: list[list[float]], name: str) -> str:
    """Attention as a grid: a row for each token written, a column for each token read, the darker the greater the weight."""

    def draw(figure: Any, is_wide: bool) -> None:
        axes = figure.add_subplot()
        for row, line in enumerate(weights):
            for column, weight in enumerate(line):
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=INK, alpha=weight, linewidth=0))
        axes.set_xlim(-0.5, len(source) - 0.5)
        axes.set_ylim(len(target) - 0.5, -0.5)
        size = 12 if is_wide else 9
        axes.set_xticks(range(len(source)), [token.strip() for token in source], rotation=90, fontsize=size)
        axes.set_yticks(range(len(target)), [token.strip() for token in target], fontsize=size)
        axes.tick_params(length=0, labelcolor=INK, labeltop=True, labelbottom=False)
        axes.set_aspect("equal")
        for spine in axes.spines.values():
            spine.set_visible(True)

    from matplotlib.patches import Rectangle

    alt = f"Attention of {len(target)} tokens written to {len(source)} tokens read: {''.join(source)} / {''.join(target)}"
    cell, label = min(30, (WIDE - 110) // len(source)), 110
    wide = (cell * len(source) + label, cell * len(target) + label)
    return inline(draw, name, alt, wide, (NARROW, round(NARROW * wide[1] / wide[0])))


def word_map(words: list[str], points: list[list[float]], name: str) -> str:
    """Words at their places in a plane."""

    def draw(figure: Any, is_wide: bool) -> None:
        axes = figure.add_subplot()
        axes.plot(*zip(*points, strict=True), ".", color=MUTED, markersize=4)
        for word, point in zip(words, points, strict=True):
            text, size = word.replace("$", r"\$"), 11 if is_wide else 8
            axes.annotate(text, point, xytext=(3, 2), textcoords="offset points", fontsize=size, color=INK)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.margins(0.08)

    alt = f"Word vectors in two dimensions: {', '.join(words)}"
    return inline(draw, name, alt, wide=(WIDE, 520), narrow=(NARROW, 420))
