"""Commands beside the estimate: the largest batch that fits into memory, and the profile of this machine."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from stages.lm import artifacts, script
from stages.lm.accounting import profile
from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.free_memory import spare_memory
from stages.lm.accounting.largest_batch import largest_batch
from stages.lm.accounting.sizes import memory_size
from stages.lm.errors import UserError
from stages.lm.settings import parse
from stages.lm.tokens import PairArray, open_split
from stages.lm.training.settings import TrainingSettings, TrainSettings


def largest_batch_command(arguments: Sequence[str]) -> int:
    """The largest batch that runs within a limit of memory, where one example more does not. Needs some real steps."""
    parser = argparse.ArgumentParser(prog="python -m stages.estimate largest-batch", description=largest_batch_command.__doc__)
    parser.add_argument("--config", required=True, help="YAML file with the settings of the train stage; - reads standard input")
    parser.add_argument("--tokens", required=True, type=Path, metavar="DIR", help="the token artifact")
    parser.add_argument("--memory", metavar="SIZE", help="for tensors, as 4GB or 512MiB (default: 90 %% of what is free)")
    args = parser.parse_args(arguments)
    settings = parse(TrainSettings, script.read_settings(args.config), args.config)
    if settings.model.trained_by != "gradient":
        raise UserError(f"{args.config}: model.family {settings.model.family} is trained by counting, which has no batches")
    limit = limit_of(args.memory) if args.memory else spare_memory(settings.training)
    tokens = artifacts.read(args.tokens, "tokenize")
    train = open_split(tokens.path, "train")
    lengths = Lengths.longest(train, settings.training.batch_size) if isinstance(train, PairArray) else None
    found = largest_batch(settings, tokens.json("stats.json")["vocab_size"], limit, lengths)
    if not found.batch_size:
        raise UserError(f"--memory: not even one example fits into {limit / 1e6:,.3g} MB; give more, or choose a smaller model")
    sys.stdout.write(f"largest batch in {limit / 1e6:,.6g} MB: {found.batch_size} (the estimate alone says {found.estimated})\n")
    return 0


def limit_of(memory: str) -> int:
    """The bytes that `--memory` says. Raises UserError for what is no amount of memory."""
    try:
        return memory_size(memory)
    except ValueError as error:
        raise UserError(f"--memory: {error}") from None


def profile_command(arguments: Sequence[str]) -> int:
    """Measure this machine for training and for writing, if that has not been done. It should have nothing else to do."""
    parser = argparse.ArgumentParser(prog="python -m stages.estimate profile", description=profile_command.__doc__)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="as training.precision")
    parser.add_argument("--threads", type=script.positive, default=TrainingSettings().threads, help="as training.threads")
    args = parser.parse_args(arguments)
    profile.of_writing(args.threads, measuring=True)  # first, since training sets arithmetic and memory for the whole process
    profile.of_training(TrainingSettings(precision=args.precision, threads=args.threads), measuring=True)
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"largest-batch": largest_batch_command, "profile": profile_command}
