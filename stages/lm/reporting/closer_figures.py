"""Plots of the losses behind an average: by position, by document, and how sure models are beside how right they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.reporting.figures import COLUMN, LINE, NARROW, WIDE, name_levels
from stages.lm.reporting.svg import INK, MUTED, inline

Bins = list[dict[str, Any]]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def positions(losses: dict[str, Bins], colours: dict[str, str], name: str) -> str:
    """Nats per token by how many tokens were read before it, in octaves, with intervals; `losses` by experiment."""

    def draw(figure: Any, _is_wide: bool) -> None:
        axes = figure.add_subplot()
        ends = []
        for experiment, octaves in losses.items():
            tint, read = colours[experiment], [octave["to"] for octave in octaves]
            value, low, high = (
                np.array([octave["nats_per_token"][key] for octave in octaves]) for key in ("value", "low", "high")
            )
            shown = np.isfinite(value)
            axes.fill_between(np.array(read)[shown], low[shown], high[shown], color=tint, alpha=0.18, linewidth=0)
            axes.plot(np.array(read)[shown], value[shown], color=tint, linewidth=2, marker="o", markersize=3.5)
            if shown.any():
                ends.append((float(value[shown][-1]), experiment, tint))
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("tokens read before, up to")
        axes.set_ylabel("nats per token")
        axes.grid(axis="y")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        if ends:
            name_levels(axes, ends, height)

    height = max(280, 60 + LINE * (len(losses) + 1))
    alt = f"Nats per token of {', '.join(losses)} by the number of tokens read before"
    return inline(draw, name, alt, wide=(WIDE, height), narrow=(NARROW, height))


def documents(bits: dict[str, NDArray[np.float64]], colours: dict[str, str], name: str) -> str:
    """How bits per byte spread over documents: for each experiment the median, the middle half, and all but the outer tenth."""

    def draw(figure: Any, _is_wide: bool) -> None:
        axes = figure.add_subplot()
        for row, (experiment, values) in enumerate(bits.items()):
            least, low, middle, high, most = np.quantile(values[np.isfinite(values)], QUANTILES)
            tint = colours[experiment]
            axes.plot([least, most], [row, row], color=tint, linewidth=1.4)
            axes.plot([low, high], [row, row], color=tint, linewidth=7, alpha=0.4, solid_capstyle="butt")
            axes.plot([middle], [row], "o", color=tint, markersize=6)
        axes.set_yticks(range(len(bits)), list(bits))
        axes.tick_params(axis="y", length=0, labelcolor=INK, pad=8)
        axes.set_ylim(len(bits) - 0.5, -0.5)
        axes.set_xlabel("bits per byte of a document")
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")

    height = 70 + 28 * len(bits)
    medians = ", ".join(f"{experiment} {np.median(values):.4f}" for experiment, values in bits.items())
    return inline(draw, name, f"Bits per byte of single documents, medians: {medians}", (WIDE, height), (NARROW, height))


def reliability(curves: dict[str, Bins], colours: dict[str, str], name: str) -> str:
    """The share of guesses that are right against their mean probability, with intervals; the diagonal is a calibrated model."""

    def draw(figure: Any, _is_wide: bool) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, dashes=(4, 3))
        for experiment, bins in curves.items():
            sure, right = [one["confidence"] for one in bins], [one["accuracy"]["value"] for one in bins]
            ends = np.array([[one["accuracy"]["low"], one["accuracy"]["high"]] for one in bins])
            axes.vlines(sure, ends[:, 0], ends[:, 1], color=colours[experiment], linewidth=1.4, alpha=0.6)
            axes.plot(sure, right, color=colours[experiment], linewidth=1.6, marker="o", markersize=4)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.01)
        axes.set_aspect("equal")
        axes.set_xlabel("probability of the most probable token")
        axes.set_ylabel("share that is right")
        axes.grid()

    alt = f"Reliability of the most probable next tokens of {', '.join(curves)}"
    return inline(draw, name, alt, wide=(COLUMN, 420), narrow=(NARROW, 380))
