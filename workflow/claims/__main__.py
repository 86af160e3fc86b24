"""Write down what a finished run claims, or say whether a claim holds here.

    python -m workflow.claims write FILE < CONFIG
    python -m workflow.claims check FILE
    python -m workflow.claims audit FILE [--stretches N] [--seed N] [--no-variants]

`snakemake claim`, `reproduce` and `audit` call them. An audit also measures the models again that lie in results/, and takes some
of their training steps again.
"""

import argparse
import sys
from pathlib import Path

from stages.lm import script
from workflow.claims.audit import audit
from workflow.claims.claim import as_text, claim_of, read_claim
from workflow.claims.verdicts import GOOD, check
from workflow.claims.verdicts import as_text as table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workflow.claims", description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["write", "check", "audit"])
    parser.add_argument("file", type=Path, help="the claim")
    parser.add_argument("--stretches", type=int, default=3, metavar="N", help="of each training that are taken again")
    parser.add_argument("--seed", type=int, default=0, help="which of them are")
    parser.add_argument("--no-variants", action="store_true", help="do not run code that a variant's file holds")
    args = parser.parse_args()
    if args.command == "write":
        args.file.write_text(as_text(claim_of(script.read_settings("-"))), encoding="utf-8")
        return
    claim = read_claim(args.file)
    rows = check(claim) if args.command == "check" else list(audit(claim, args.stretches, args.seed, not args.no_variants))
    sys.stdout.write(table(rows))
    sys.exit(any(row.verdict not in GOOD for row in rows))


if __name__ == "__main__":
    script.run(main)
