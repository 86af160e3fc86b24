"""Two commands beside the report: what made a file, and why two runs differ."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stages.lm.lineage import diff as differences
from stages.lm.lineage import why as origins


def why(arguments: Sequence[str]) -> int:
    """Tell what made a file: stage, settings, code, machine, and what it goes back to."""
    parser = argparse.ArgumentParser(prog="python -m stages.report why", description=why.__doc__)
    parser.add_argument("file", type=Path, help="an artifact, or a file in one")
    sys.stdout.write(origins.why(parser.parse_args(arguments).file))
    return 0


def diff(arguments: Sequence[str]) -> int:
    """Tell in what two runs differ and what that did to their numbers; exit code 1 if they do."""
    parser = argparse.ArgumentParser(prog="python -m stages.report diff", description=diff.__doc__)
    parser.add_argument("first", type=Path, help="an artifact, such as the report of a run")
    parser.add_argument("second", type=Path, help="one of the same stage")
    args = parser.parse_args(arguments)
    text, differs = differences.diff(args.first, args.second)
    sys.stdout.write(text)
    return int(differs)
