"""Two commands beside training: a step of a past run again, and a few sequences learned by heart."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from stages.lm import artifacts, script
from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.tokenizers.files import read_tokenizer
from stages.lm.training.job import Job
from stages.lm.training.overfit import learn_by_heart, settings_for
from stages.lm.training.replay import replay_step, table
from stages.lm.training.settings import TrainSettings
from stages.lm.training.view import sparkline


def replay(arguments: Sequence[str]) -> int:
    """Do a step of a finished run again, and show what it learned from."""
    parser = argparse.ArgumentParser(prog="python -m stages.train replay", description=replay.__doc__)
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="the train artifact")
    parser.add_argument("--tokens", required=True, type=Path, metavar="DIR", help="the token artifact that it was trained on")
    parser.add_argument("--step", required=True, type=int, metavar="N", help="which step, from 1 on")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="show text in place of ids")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where milestones are (default: state/train/<name of --run>)")
    parser.add_argument("--examples", type=int, default=2, metavar="K", help="show the K examples of the highest loss")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to this file")
    args = parser.parse_args(arguments)
    run, tokens = artifacts.read(args.run, "train"), artifacts.read(args.tokens, "tokenize")
    trained_on = registry.describe(run.path).tokens
    if trained_on != tokens.digest:
        raise UserError(f"--tokens: {args.tokens} is {tokens.digest}, but {args.run} was trained on {trained_on}; give that one")
    job = Job.of(parse(TrainSettings, run.settings, str(args.run)), tokens, args.run.resolve().name, args.state)
    if job.settings.model.trained_by != "gradient":
        raise UserError(
            f"--run: {args.run} was trained by counting, which has no steps; give a model trained by gradient descent"
        )
    job.adopt(run.json("stats.json").get("chosen", {}))
    shown = replay_step(job.run(), args.step, job.source.split("train"))
    vocab = read_tokenizer(args.tokenizer).vocab if args.tokenizer else {}
    texts = [repr(vocab[index].decode(errors="replace"))[1:-1] for index in sorted(vocab)]
    sys.stdout.write(table(shown, texts, args.examples) + "\n")
    if args.json:
        args.json.write_text(json.dumps(asdict(shown)) + "\n", encoding="utf-8")
    return 0


def overfit(arguments: Sequence[str]) -> int:
    """Learn a few sequences by heart; exit code 1 if the loss does not come near 0."""
    parser = argparse.ArgumentParser(prog="python -m stages.train overfit", description=overfit.__doc__)
    parser.add_argument("--config", required=True, help="YAML file with the settings of the train stage; - reads standard input")
    parser.add_argument("--tokens", required=True, type=Path, metavar="DIR", help="the token artifact")
    parser.add_argument("--examples", type=int, default=4, metavar="K", help="how many sequences")
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="give up after so many steps")
    parser.add_argument("--below", type=float, default=0.05, metavar="L", help="nats per token that count as near 0")
    args = parser.parse_args(arguments)
    settings = settings_for(parse(TrainSettings, script.read_settings(args.config), args.config), args.examples)
    if settings.model.trained_by != "gradient":
        raise UserError(f"{args.config}: model.family {settings.model.family} is trained by counting, which learns all by heart")
    job = Job.of(settings, artifacts.read(args.tokens, "tokenize"), "overfit")
    losses = learn_by_heart(job.run(), args.steps, args.below)
    learned = losses[-1] < args.below
    said = "learned by heart" if learned else "NOT learned: try another learning rate, then suspect data, loss and gradient"
    sys.stdout.write(f"loss {losses[0]:.3f} {sparkline(losses)} {losses[-1]:.3f} after {len(losses)} steps: {said}\n")
    return 0 if learned else 1
