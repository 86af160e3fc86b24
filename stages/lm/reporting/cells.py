"""Numbers as a page shows them: formatted, and linked to the artifact that they come from."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPACE = "\u00a0"
MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """A piece of text and the artifact it comes from; templates render it as a link with the artifact's id as its tooltip."""

    text: str
    artifact: str | None = None
    href: str | None = None

    def __html__(self) -> str:
        text = html.escape(self.text)
        if self.href is None:
            return text
        return f'<a class="from" href="{html.escape(self.href)}" title="{html.escape(self.artifact or "")}">{text}</a>'

    def __str__(self) -> str:
        return self.text


def count(number: float) -> str:
    """1,234,567; from ten millions on with three digits: 12.3 M."""
    return f"{number:,.0f}" if abs(number) < 1e7 else _scaled(number, 1000, ("", "K", "M", "B", "T", "P", "E"))


def operations(number: float) -> str:
    """Floating-point operations with an SI prefix: 3.21 TFLOP."""
    return _scaled(number, 1000, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP", "YFLOP"))


def size(number: float) -> str:
    """Bytes with a binary prefix: 1.50 GiB."""
    return _scaled(number, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def duration(seconds: float) -> str:
    """4.2 s, 3 min 20 s, 1 h 05 min."""
    if seconds < 10:
        return f"{seconds:.1f}{SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60:02d}{SPACE}s"
    return f"{whole // 3600}{SPACE}h {whole % 3600 // 60:02d}{SPACE}min"


def percent(number: float) -> str:
    return f"{number:.1f}{SPACE}%"


def probability(number: float) -> str:
    """A p-value with two digits, however small: 0.34, 0.002."""
    return f"{number:.2g}"


def table_text(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Rows of the same columns as a table for a terminal."""
    lines = [list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join(text.rjust(width) if i else text.ljust(width) for i, (text, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    return "\n".join([aligned[0], "─" * len(aligned[0]), *aligned[1:], ""]).replace(SPACE, " ")


def _scaled(number: float, base: int, units: tuple[str, ...]) -> str:
    """Three significant digits and the largest unit that leaves at least 1."""
    power = 0 if number == 0 else min(max(int(math.log(abs(number), base) + 1e-12), 0), len(units) - 1)
    scaled = number / base**power
    digits = 0 if power == 0 or abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2
    return f"{scaled:,.{digits}f}{SPACE}{units[power]}".rstrip()
