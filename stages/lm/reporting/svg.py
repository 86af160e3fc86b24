"""matplotlib figures as inline SVG that takes its colours and fonts from the page around it.

Figures are drawn in stand-in colours; each becomes a variable of the page's style sheet, so that one drawing serves the light
and the dark scheme. The same data give the same bytes: no dates, no random ids.
"""

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

INK, MUTED, RULE, FLOOR, PAPER = "#fe0001", "#fe0002", "#fe0003", "#fe0004", "#fe0005"
SERIES = tuple(f"#fd000{number}" for number in range(1, 9))

VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", FLOOR: "--floor", PAPER: "--paper"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)
}

STYLE = {
    "svg.fonttype": "none",
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 12,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}

Draw = Callable[[Any, bool], None]


def colour(number: int) -> str:
    """The stand-in colour of the experiment at position `number`."""
    return SERIES[number % len(SERIES)]


def inline(draw: Draw, name: str, alt: str, wide: tuple[float, float], narrow: tuple[float, float]) -> str:
    """HTML with a drawing for wide and one for narrow screens, of which the style sheet shows one.

    `draw(figure, is_wide)` fills a figure; sizes are in CSS pixels; `alt` describes the picture in words.
    """
    drawings = [
        f'<div class="{kind}">{_render(draw, kind == "wide", f"{name}-{kind}", alt, extent)}</div>'
        for kind, extent in (("wide", wide), ("narrow", narrow))
    ]
    return "".join(drawings)


def _render(draw: Draw, is_wide: bool, name: str, alt: str, extent: tuple[float, float]) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(extent[0] / 72, extent[1] / 72), layout="constrained")
        draw(figure, is_wide)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _adapt(stream.getvalue(), alt)


def _adapt(svg: str, alt: str) -> str:
    """Leave of a file's SVG what belongs into a page, with the page's colours and fonts."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    view = re.search(r'viewBox="[^"]*"', svg)
    body = svg[svg.index(">") + 1 :]
    return f'<svg {view[0] if view else ""} role="img" aria-label="{escape(alt)}" xmlns="http://www.w3.org/2000/svg">{body}'
