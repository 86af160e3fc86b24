"""What a training run will cost, before it starts: parameters, FLOPs, memory by component, and time.

python -m stages.estimate --config FILE --tokens DIR [--fits MEMORY] --out DIR
python -m stages.estimate largest-batch --config FILE --tokens DIR [--memory 4GB]
python -m stages.estimate profile [--precision bf16] [--threads 2]

The settings are those of the train stage, `machine`, which may name another device than this machine, `spread`, the processes
that share the work, and `texts_at_once`, how many the model will write side by side. The second command finds by real steps, from
where the estimate says, the largest batch that runs within a limit of memory. The third measures this machine, so that estimates
can say where the time goes and how fast a model will write.
"""

import argparse
import sys
from importlib import import_module

from stages.lm import artifacts, script
from stages.lm.accounting.devices import memory_of
from stages.lm.accounting.estimate import estimate
from stages.lm.accounting.settings import EstimateSettings
from stages.lm.accounting.table import table
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.tokens import open_split
from stages.lm.training.data import check_kind


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in ("largest-batch", "profile"):
        # Loaded by name, they are no part of this stage's code version: they write no estimate.
        sys.exit(import_module("stages.lm.accounting.commands").COMMANDS[sys.argv[1]](sys.argv[2:]))
    args = script.arguments("estimate", __doc__, inputs=("tokens",), extend=add_options)
    settings = parse(EstimateSettings, args.settings, args.config)
    tokens = artifacts.read(args.inputs["tokens"], "tokenize")
    train = open_split(tokens.path, "train")
    check_kind(settings.model.family, settings.model.task, train)

    vocab_size = tokens.json("stats.json")["vocab_size"]
    modules = {registry.module_of(settings.model.family)}
    with artifacts.writing(args.out, "estimate", settings.resolved(), {"tokens": tokens}, modules) as draft:
        draft.volatile = {"stats.json", "README.md"}
        stats = estimate(settings, vocab_size, train, args.options.fits)
        shown = table(stats)
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", f"# What training will cost\n\n```\n{shown}\n```\n")
    script.log.info("%s", shown)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fits", type=limit_of, metavar="MEMORY", help="refuse a training that needs more, as 80GB or h100")


def limit_of(text: str) -> int:
    """`memory_of`, with an error whose text argparse shows."""
    try:
        return memory_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    script.run(main)
