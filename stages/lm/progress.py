"""Progress of long work: a bar on a terminal, plain lines in a log."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger("stagecraft")

SECONDS_BETWEEN_LINES = 15.0

IS_SPOKESMAN = os.environ.get("RANK", "0") == "0"
"""Of several processes that do one job (torchrun numbers them) the first one speaks."""


class Progress:
    """Counts work done towards `total`; `update` may be called as often as one likes."""

    def __init__(self, label: str, total: int | None, unit: str, start: int = 0) -> None:
        self.label, self.unit = label, unit
        hidden = not (IS_SPOKESMAN and sys.stderr.isatty())
        self.bar = tqdm(total=total, initial=start, desc=label, unit=unit, unit_scale=True, disable=hidden, leave=False)
        self.total, self.start, self.done, self.began, self.said = total, start, start, time.monotonic(), time.monotonic()
        self.shown = ""

    def update(self, amount: int = 1, **shown: str) -> None:
        """Add `amount` to the work done and show the values in `shown` beside it."""
        self.done += amount
        self.bar.update(amount)
        if shown:
            self.shown = "  " + "  ".join(f"{key} {value}" for key, value in shown.items())
            self.bar.set_postfix_str(self.shown.strip(), refresh=False)
        if self.bar.disable and time.monotonic() - self.said >= SECONDS_BETWEEN_LINES:
            self.said = time.monotonic()
            log.info("%s", self.line())

    def line(self) -> str:
        """The state of the work in one plain line: done, rate, remaining time, shown values."""
        rate = (self.done - self.start) / max(time.monotonic() - self.began, 1e-9)
        share = f" of {self.total:,} ({self.done / self.total:.0%})" if self.total else ""
        left = f", {(self.total - self.done) / rate:,.0f} s left" if self.total and rate else ""
        return f"{self.label}: {self.done:,}{share} {self.unit}, {rate:,.0f}/s{left}{self.shown}"

    def close(self) -> None:
        self.bar.close()


@contextmanager
def progress(label: str, total: int | None, unit: str, start: int = 0) -> Iterator[Progress]:
    """`with progress("encode", total_bytes, "B") as p: ... p.update(n)`."""
    bar = Progress(label, total, unit, start)
    try:
        with nullcontext() if bar.bar.disable else logging_redirect_tqdm([log]):  # messages go above the bar, not into it
            yield bar
    finally:
        bar.close()
