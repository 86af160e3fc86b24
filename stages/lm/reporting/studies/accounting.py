"""The course's questions about resources: tables of numbers, and where operations go as models and contexts grow."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.lm.accounting.course_tables import tables
from stages.lm.reporting.cells import Cell
from stages.lm.reporting.figures import NARROW, WIDE
from stages.lm.reporting.studies.view import Source, StudyView
from stages.lm.reporting.svg import INK, MUTED, PAPER, colour, inline

PARTS = ("projections", "feed-forward", "scores", "output layer")
Bars = Mapping[str, Sequence[float]]
"""By what stands below each bar: the shares of `PARTS`, in per cent."""


def view(source: Source) -> StudyView:
    stats = source.stats()
    shown = {table.key: [_linked(row, source) for row in table.rows] for table in tables(stats["answers"])}
    opt = stats["answers"]["opt"]
    published, right = ({row["model"]: row[which]["shares"] for row in opt} for which in ("formula", "right"))
    lengths = {f"{row['context_length']:,}": _ordered(row["shares"]) for row in stats["answers"]["long_context"]}
    figures = {
        "opt": _shares({"as published": published, "as counted right": right}, "parameters", f"{source.figure}-opt"),
        "context": _shares({"": lengths}, "tokens", f"{source.figure}-context"),
        "decoding": _decoding(stats["answers"]["intensity"], f"{source.figure}-decoding"),
    }
    keys = {part: number for number, part in enumerate(PARTS, start=1)}
    about = {key: stats["answers"]["intensity"][key] for key in ("model", "context_length")}
    return StudyView(source.name, "accounting", shown, figures, keys, stats["study"] | about)


def _linked(row: Mapping[str, str], source: Source) -> dict[str, Cell]:
    """The numbers of a row with a link to the study; its name without."""
    name, *numbers = row
    return {name: Cell(row[name])} | {number: source.cell(row[number]) for number in numbers}


def _ordered(shares: Mapping[str, float]) -> list[float]:
    return [shares[part] for part in ("attention_projections", "feed_forward", "attention_scores", "head")]


def _shares(panels: Mapping[str, Bars], label: str, name: str) -> str:
    """Bars of 100 per cent, a panel for each way to count."""

    def draw(figure: Any, is_wide: bool) -> None:
        grid = (1, len(panels)) if is_wide else (len(panels), 1)
        for axes, (title, bars) in zip(figure.subplots(*grid, squeeze=False).flatten(), panels.items(), strict=True):
            below = [0.0] * len(bars)
            for number in range(len(PARTS)):
                heights = [shares[number] for shares in bars.values()]
                axes.bar(list(bars), heights, bottom=below, color=colour(number), width=0.8)
                for place, (height, start) in enumerate(zip(heights, below, strict=True)):
                    if height >= 6:
                        axes.annotate(
                            f"{height:.0f}", (place, start + height / 2), ha="center", va="center", color=PAPER, size=10
                        )
                below = [start + height for start, height in zip(below, heights, strict=True)]
            axes.set_title(title, fontsize=12, color=INK, loc="left")
            axes.set_xlabel(label)
            axes.set_ylabel("% of the operations")
            axes.set_ylim(0, 100)
            axes.tick_params(axis="x", length=0)

    ends = [(title, place, shares) for title, bars in panels.items() for place, shares in bars.items()]
    alt = "Shares of the operations: " + "; ".join(
        f"{title} {place}: {', '.join(f'{part} {share:.0f} %' for part, share in zip(PARTS, shares, strict=True))}"
        for title, place, shares in ends
    )
    return inline(draw, name, alt, wide=(WIDE, 300), narrow=(NARROW, 300 * len(panels)))


def _decoding(found: Mapping[str, Any], name: str) -> str:
    """Operations a byte by the number of texts at a time, on logarithmic axes, and what devices need to be busy."""
    batches = [row["batch"] for row in found["decoding"]]
    lines = {"weights": colour(4), "cache": colour(5), "total": INK}

    def draw(figure: Any, _: bool) -> None:
        axes = figure.add_subplot()
        for part, tint in lines.items():
            values = [row[part] for row in found["decoding"]]
            axes.plot(batches, values, color=tint, linewidth=2, marker="o", markersize=4)
            axes.annotate(part, (batches[-1], values[-1]), xytext=(8, 0), textcoords="offset points", va="center", color=tint)
        for device, ridge in found["devices"].items():
            axes.axhline(ridge, color=MUTED, linewidth=1.2, dashes=(4, 3))
            axes.annotate(device, (1, ridge), xytext=(0, 4), textcoords="offset points", color=MUTED)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlim(batches[0] * 0.9, batches[-1] * 2.2)
        axes.set_xlabel("texts at a time")
        axes.set_ylabel("operations a byte")
        axes.grid(axis="y")

    last = found["decoding"][-1]
    alt = f"Decoding {last['batch']} texts at a time takes {last['total']:.0f} operations for each byte moved; " + ", ".join(
        f"{device} needs {ridge:.0f}" for device, ridge in found["devices"].items()
    )
    return inline(draw, name, alt, wide=(WIDE, 320), narrow=(NARROW, 300))
