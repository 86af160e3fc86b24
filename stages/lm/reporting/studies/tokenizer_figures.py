"""The plots of the study of tokenizers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stages.lm.reporting.figures import NARROW, WIDE, spread
from stages.lm.reporting.svg import INK, colour, inline

Line = tuple[str, Sequence[float], Sequence[float], Mapping[str, float]]
"""A label, x, y, and the power law through them."""


def compression(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Bytes a token as bars, a group for each tokenizer and a colour for each corpus."""
    corpora = list(rows[0]["corpora"])
    values = {row["tokenizer"]: [row["corpora"][corpus]["bytes_per_token"] or 0.0 for corpus in corpora] for row in rows}

    def draw(figure: Any, _is_wide: bool) -> None:
        axes = figure.add_subplot()
        width = 0.8 / len(corpora)
        for number, corpus in enumerate(corpora):
            heights = [-group + ((len(corpora) - 1) / 2 - number) * width for group in range(len(values))]
            lengths = [found[number] for found in values.values()]
            axes.barh(heights, lengths, width * 0.9, color=colour(number), label=corpus)
            for height, length in zip(heights, lengths, strict=True):
                axes.annotate(
                    f"{length:.2f}", (length, height), xytext=(5, 0), textcoords="offset points", va="center", color=INK
                )
        axes.set_yticks([-group for group in range(len(values))], list(values))
        axes.tick_params(axis="y", length=0, labelcolor=INK, pad=8)
        axes.margins(x=0.1)
        axes.set_xlabel("bytes a token (more is better)")
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        if len(corpora) > 1:
            figure.legend(loc="outside upper left", frameon=False, ncols=len(corpora))

    height = 90 + (14 + 16 * len(corpora)) * len(values)
    described = "; ".join(
        f"{tokenizer} {', '.join(f'{length:.2f} on {corpus}' for length, corpus in zip(found, corpora, strict=True))}"
        for tokenizer, found in values.items()
    )
    return inline(draw, name, f"Bytes a token: {described}", wide=(WIDE, height), narrow=(NARROW, height))


def training(found: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> str:
    """Training time by size of the text, a panel for each corpus, with the power law of each trainer."""
    panels: dict[str, list[Line]] = {
        corpus: [(one["trainer"], one["bytes"], one["seconds"], one["fit"]) for one in series] for corpus, series in found.items()
    }
    return _power_laws(panels, name, "CPU seconds to train", "Training time")


def growth(found: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """How many different words and characters a text has by its size, a panel for each corpus."""
    panels: dict[str, list[Line]] = {
        corpus: [(unit, one["bytes"], one[unit]["distinct"], one[unit]["fit"]) for unit in ("words", "characters")]
        for corpus, one in found.items()
    }
    return _power_laws(panels, name, "different ones", "Different words and characters")


def _power_laws(panels: Mapping[str, Sequence[Line]], name: str, label: str, title: str) -> str:
    """Measured points and fitted lines, both axes logarithmic."""

    def draw(figure: Any, is_wide: bool) -> None:
        grid = (1, len(panels)) if is_wide else (len(panels), 1)
        found = figure.subplots(*grid, sharex=True, sharey=True, squeeze=False).flatten()
        for axes, (corpus, lines) in zip(found, panels.items(), strict=True):
            _panel(axes, lines)
            if len(panels) > 1:
                axes.set_title(corpus, loc="left", fontsize=12, color=INK)
            axes.set_xlabel("bytes of text")
            if not is_wide or axes is found[0]:
                axes.set_ylabel(label)
        for axes, lines in zip(found, panels.values(), strict=True):
            _labels(axes, lines)

    laws = [
        f"{line} on {corpus} with exponent {fit['exponent']:.2f}" for corpus, lines in panels.items() for line, _, _, fit in lines
    ]
    alt = f"{title} by bytes of text: {', '.join(laws)}"
    return inline(draw, name, alt, wide=(WIDE, 340), narrow=(NARROW, 300 * len(panels)))


def _panel(axes: Any, lines: Sequence[Line]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for number, (_, x, y, fit) in enumerate(lines):
        ends = [min(x), max(x)]
        axes.plot(ends, [fit["factor"] * end ** fit["exponent"] for end in ends], color=colour(number), linewidth=1.4)
        axes.plot(x, y, "o", color=colour(number), markersize=5)
    axes.xaxis.set_major_formatter(lambda value, _: _bytes(value))
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="both", which="both", length=0)


def _labels(axes: Any, lines: Sequence[Line]) -> None:
    """The name and exponent of each line beside its last point, none over another."""
    low, high = axes.get_ylim()
    ends = [math.log(y[-1] / low) / math.log(high / low) for _, _, y, _ in lines]
    for number, height in enumerate(spread(ends, 0.08)):
        text = f"{lines[number][0]} ∝ n^{round(lines[number][3]['exponent'], 2) + 0.0:.2f}"
        axes.annotate(text, (1, height), xycoords="axes fraction", xytext=(6, 0), textcoords="offset points", va="center",
                      color=colour(number), annotation_clip=False)  # fmt: skip


def _bytes(value: float) -> str:
    for unit, size in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"
