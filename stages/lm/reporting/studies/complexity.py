"""The study of complexity: exponents of time and memory, and both by length."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.lm.reporting.cells import Cell
from stages.lm.reporting.figures import NARROW, WIDE
from stages.lm.reporting.studies.view import Source, StudyView
from stages.lm.reporting.svg import INK, MUTED, inline


def view(source: Source) -> StudyView:
    stats = source.stats()
    rows = [
        {
            "model": Cell(one["model"]),
            "quantity": Cell(one["quantity"]),
            "tokens": Cell(f"{one['lengths'][0]:,} to {one['lengths'][-1]:,}"),
            "at the longest": source.cell(_amount(one["quantity"], one["measured"][-1])),
            "exponent": source.cell(f"{one['fit']['exponent']:.2f}"),
            "interval": source.cell(f"[{one['fit']['low']:.2f}, {one['fit']['high']:.2f}]"),
            "exponent of the formula": source.cell(f"{one['formula_fit']['exponent']:.2f}"),
        }
        for one in stats["series"]
    ]
    models = dict.fromkeys(one["model"] for one in stats["series"])
    figures = {"lengths": _length_plot(stats, source)}
    keys = {model: source.series.get(model, 8) for model in models}
    return StudyView(source.name, "complexity", {"exponents": rows}, figures, keys, {"rounds": stats["rounds"]})


def _amount(quantity: str, value: float) -> str:
    return f"{value / 1e6:,.1f} MB" if "memory" in quantity else f"{1000 * value:,.1f} ms"


def _length_plot(stats: Mapping[str, Any], source: Source) -> str:
    """Every quantity by length on logarithmic axes: the measured points, and the fitted power laws through them."""
    quantities = list(dict.fromkeys(series["quantity"] for series in stats["series"]))

    def draw(figure: Any, is_wide: bool) -> None:
        columns = 2 if is_wide else 1
        panels = figure.subplots(math.ceil(len(quantities) / columns), columns, squeeze=False).flatten()
        for axes, quantity in zip(panels, quantities, strict=False):
            axes.set_title(quantity, fontsize=12, color=INK, loc="left")
            for series in (series for series in stats["series"] if series["quantity"] == quantity):
                fit, lengths = series["fit"], np.asarray(series["lengths"], dtype=float)
                tint = source.colours.get(series["model"], MUTED)
                axes.plot(lengths, series["measured"], "o", color=tint, markersize=5)
                axes.plot(lengths, fit["factor"] * lengths ** fit["exponent"], color=tint, linewidth=1.2)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_ylabel("bytes" if "memory" in quantity else "seconds")
            axes.set_xlabel("tokens")
            axes.grid(axis="y")

    alt = "Time and memory by length: " + "; ".join(
        f"{series['model']} {series['quantity']} grows with exponent {series['fit']['exponent']:.2f}"
        for series in stats["series"]
    )
    rows = len(quantities)
    return inline(draw, source.figure, alt, wide=(WIDE, 290 * math.ceil(rows / 2)), narrow=(NARROW, 260 * rows))
