"""Write down what a finished run claims, or say whether a claim holds here.

    python -m workflow.claims write FILE < CONFIG
    python -m workflow.claims check FILE

`snakemake claim` and `snakemake reproduce` call them.
"""

import argparse
import sys
from pathlib import Path

from stages.lm import script
from workflow.claims.claim import as_text, claim_of, read_claim
from workflow.claims.verdicts import GOOD, check
from workflow.claims.verdicts import as_text as table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workflow.claims", description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["write", "check"])
    parser.add_argument("file", type=Path, help="the claim")
    args = parser.parse_args()
    if args.command == "write":
        args.file.write_text(as_text(claim_of(script.read_settings("-"))), encoding="utf-8")
        return
    rows = check(read_claim(args.file))
    sys.stdout.write(table(rows))
    sys.exit(any(row.verdict not in GOOD for row in rows))


if __name__ == "__main__":
    script.run(main)
