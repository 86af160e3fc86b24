"""Accuracy against scale, a panel for each difficulty: does a model of some size begin to answer what smaller ones cannot?

As in Wei et al. 2022, "Emergent Abilities of Large Language Models", figure 2: accuracy by training FLOPs with the line of
chance; beside it the probability of the right choice, which shows what all or nothing hides (Schaeffer et al. 2023).
"""

from typing import Any

from stages.lm.reporting.figures import NARROW, WIDE
from stages.lm.reporting.ladder import limits, short, ticks
from stages.lm.reporting.svg import FLOOR, MUTED, PAPER, inline

Results = dict[str, Any]
COLUMNS, PANEL = 3, 250
"""Panels beside each other, and the height of one in pixels."""


def scale(results: dict[str, Results], flops: dict[str, float | None], colours: dict[str, str], name: str) -> str:
    """Accuracy (full dots, with intervals) and the probability of the right choice (open ones) by training operations.

    `results` and `flops` by experiment. Models without operations stand at the left margin.
    """
    first = next(iter(results.values()))
    levels = [level["level"] for level in first["levels"]]
    known = [operations for operations in flops.values() if operations]
    low, high = limits(known or [1.0])

    def draw(figure: Any, is_wide: bool) -> None:
        across = min(len(levels), COLUMNS) if is_wide else 1
        panels = figure.subplots(-(-len(levels) // across), across, sharey=True, squeeze=False).flatten()
        for axes in panels[len(levels) :]:
            axes.set_visible(False)
        for place, (axes, level) in enumerate(zip(panels, levels, strict=False)):
            shown = {experiment: found["levels"][place] for experiment, found in results.items()}
            _panel(axes, shown, flops, low, colours)
            _logarithmic(axes, low, high, bool(known))
            axes.set_title(level, fontsize=12, loc="left")
            if place % across == 0:
                axes.set_ylabel("share")

    alt = "Accuracy by training operations: " + "; ".join(
        f"{experiment} " + ", ".join(f"{level['level']} {level['accuracy']['value']:.2f}" for level in found["levels"])
        for experiment, found in results.items()
    )
    tall = -(-len(levels) // COLUMNS)
    return inline(draw, name, alt, wide=(WIDE, PANEL * tall), narrow=(NARROW, PANEL * len(levels)))


def _panel(axes: Any, levels: dict[str, Results], flops: dict[str, float | None], low: float, colours: dict[str, str]) -> None:
    chance = next(iter(levels.values()))["chance"]
    axes.axhline(chance, color=FLOOR, linewidth=1.4, dashes=(4, 3))
    for key, dashes in (("accuracy", (None, None)), ("probability", (1, 2))):
        points = sorted((operations, levels[experiment][key]["value"]) for experiment, operations in flops.items() if operations)
        if points:
            axes.plot(*zip(*points, strict=True), color=MUTED, linewidth=0.9, dashes=dashes, alpha=0.7, zorder=1)
    for experiment, found in levels.items():
        place, tint, right = flops[experiment] or low, colours[experiment], found["accuracy"]
        axes.plot([place, place], [right["low"], right["high"]], color=tint, linewidth=4, alpha=0.3, solid_capstyle="round")
        axes.plot([place], [found["probability"]["value"]], "o", color=tint, markersize=6, markerfacecolor=PAPER, clip_on=False)
        axes.plot([place], [right["value"]], "o", color=tint, markersize=6, clip_on=False, zorder=3)
    axes.set_ylim(0, 1.02)
    axes.grid(axis="y")


def _logarithmic(axes: Any, low: float, high: float, known: bool) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks(low, high) if known else []))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.set_xlabel("training operations (FLOP)" if known else "")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
