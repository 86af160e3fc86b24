"""The table that a finished run ends with, and where its report is: `python -m workflow.headline config/config.yaml`."""

import sys
from pathlib import Path

from stages.lm import artifacts, script
from stages.lm.errors import UserError
from workflow.plan import build
from workflow.reading import load
from workflow.rounds import on_disk


def headline(config: Path) -> str:
    """The headline table of a config's report and the report's path. Raises UserError where the report is not made yet."""
    plan = build(load(config), follow=on_disk)
    if not plan.is_whole:
        raise UserError(f"{config}: its sweeps are not done yet; run it first")
    (node,) = plan.stage("report")
    report = artifacts.read(Path("results") / node.id, "report")
    return f"{report.file('table.txt').read_text(encoding='utf-8')}\n{report.file('report.html')}\n"


def main() -> None:
    sys.stdout.write(headline(Path(sys.argv[1])))


if __name__ == "__main__":
    script.run(main)
