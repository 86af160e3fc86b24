"""Train a model on a token artifact: by counting, or by gradient descent with checkpoints that outlive the job.

python -m stages.train --config FILE --tokens DIR --out DIR [--state DIR] [--checkpoint-seconds S] ...
python -m stages.train replay --run DIR --tokens DIR --step N [--tokenizer DIR]
python -m stages.train overfit --config FILE --tokens DIR

Killed at any moment, the first goes on from the last checkpoint and ends with the same bytes. The second shows what any step of
a finished run learned from; the third tries whether the model can learn a few sequences by heart, and ends with 1 if not.
"""

import argparse
import json
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from stages.lm import artifacts, script
from stages.lm.artifacts import Artifact, Draft
from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.training import distributed, machine, tracking
from stages.lm.training.distributed import ALONE, Ranks
from stages.lm.training.engines import Engine
from stages.lm.training.fitting import Fitted, fit
from stages.lm.training.job import Job
from stages.lm.training.loop import Conduct
from stages.lm.training.metrics import METRICS, TIMING
from stages.lm.training.settings import TrainSettings
from stages.lm.training.tracking import Tracker


def main(ranks: Ranks = ALONE) -> None:
    if sys.argv[1:2] in (["replay"], ["overfit"]):
        # Loaded by name, they are no part of this stage's code version: what they show may change without a new training.
        commands = import_module("stages.lm.training.commands")
        sys.exit(getattr(commands, sys.argv[1])(sys.argv[2:]))
    args = script.arguments("train", __doc__, inputs=("tokens",), extend=add_options)
    options, name = args.options, args.out.resolve().name
    settings = parse(TrainSettings, args.settings, args.config)
    tokens = artifacts.read(args.inputs["tokens"], "tokenize")
    if settings.model.trained_by == "counting":  # in one process
        if not ranks.is_first:
            return
        ranks = ALONE

    writing = artifacts.writing(args.out, "train", settings.resolved(), {"tokens": tokens}, settings.modules)
    with ranks.only_first(writing) as draft:
        job = Job.of(settings, tokens, name, options.state, options.milestone_every)
        job.ranks, job.engine = ranks, options.engine
        # Loaded by name: what it finds depends on the machine, not on code alone, and is remembered.
        job.settle(lambda job: dict(import_module("stages.lm.accounting.choices").choose(job)))
        job.conduct = conduct_of(job, options)
        with ranks.together():
            if ranks.is_first:
                job.tracker = tracking.start(options.wandb, options.tensorboard, name, settings.resolved(), options.wandb_group)
        fitted = fit(job)
        with ranks.together():
            if draft is not None:
                write(draft, fitted, job, tokens, options.estimate)
    job.tracker.close()
    if ranks.is_first:
        job.state.finish()


def write(draft: Draft, fitted: Fitted, job: Job, tokens: Artifact, estimate: Path | None) -> None:
    """The files of the artifact."""
    draft.seed, draft.volatile = job.settings.training.seed, {TIMING, "timing.json"}
    description = registry.ModelDescription(
        family=job.settings.model.family,
        settings=job.settings.model,
        vocab_size=job.source.vocab_size,
        end_of_text=job.source.end_of_text,
        tokenizer=tokens.json("stats.json")["tokenizer"],
        tokens=tokens.digest,
    )
    registry.save(fitted.model, description, draft.path)
    draft.write_text(METRICS, fitted.logs[METRICS])
    draft.write_text(TIMING, fitted.logs[TIMING])
    draft.write_json("stats.json", fitted.stats)
    draft.write_json("timing.json", fitted.timing | missed(fitted, estimate, job.tracker))
    draft.write_text("README.md", readme(fitted.stats))


def missed(fitted: Fitted, estimate: Path | None, tracker: Tracker) -> dict[str, Any]:
    """By how many per cent the estimate in the folder `estimate` was off, where it is made; trackers show it too.

    Loaded by name as what only looks.
    """
    file = estimate and estimate / "stats.json"
    if file is None or not file.exists():
        return {}
    account = import_module("stages.lm.accounting.reconcile")
    found = account.errors(account.reconcile(json.loads(file.read_text(encoding="utf-8")), fitted.stats, fitted.timing))
    tracker.log({"step": fitted.stats.get("steps", 0), **{f"estimate error, %/{name}": error for name, error in found.items()}})
    return {"estimate_error_percent": found}


def conduct_of(job: Job, options: argparse.Namespace) -> Conduct:
    """How the options of the command line want the run to be carried out.

    What only looks is loaded by name, so that it is no part of this stage's code version: it changes no model.
    """
    if options.sample_every and not options.tokenizer:
        raise UserError("--sample-every: needs --tokenizer DIR too, to show what the model writes as text")
    sample = None
    if options.sample_every and job.settings.model.task == "language model":
        sample = import_module("stages.lm.training.samples").sampler(options.tokenizer, job.settings.training.seed)
    return Conduct(
        options.checkpoint_seconds, options.time_limit, options.pause_at, utilisation(job), options.sample_every, sample
    )


def utilisation(job: Job) -> float | None:
    """The share of this machine's matrix-product peak that one token per second is; None where nothing is multiplied."""
    count = import_module("stages.lm.accounting.flops")
    operations = count.training_flops(count.forward_flops_per_token(job.settings.model, job.source.vocab_size), 1)
    if not operations:
        return None
    device = machine.prepare(job.settings.training)
    size = 8192 if device.type == "cuda" else 1024
    return float(operations / machine.matmul_rate((size, size, size), job.settings.training, device) / job.ranks.count)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", type=Path, metavar="DIR", help="checkpoints (default: state/train/<name of --out>)")
    parser.add_argument("--checkpoint-seconds", type=float, default=300.0, metavar="S", help="time between checkpoints")
    parser.add_argument("--milestone-every", type=int, metavar="N", help="steps between checkpoints that are kept for good")
    parser.add_argument("--time-limit", type=float, metavar="S", help="stop with a checkpoint after so many seconds")
    parser.add_argument("--pause-at", type=int, metavar="N", help="end with a checkpoint after this step, to go on another time")
    parser.add_argument("--sample-every", type=int, metavar="N", help="steps between looks at what the model writes")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="the tokenizer artifact, for these looks")
    parser.add_argument("--engine", choices=get_args(Engine), default="ddp", help="of several processes: %(choices)s")
    parser.add_argument("--tensorboard", action="store_true", help=f"also write what TensorBoard shows, to {tracking.BOARDS}")
    parser.add_argument("--estimate", type=Path, metavar="DIR", help="the estimate of this training, to say how far it was off")
    parser.add_argument("--wandb", choices=tracking.MODES, default="disabled", help="also log to Weights & Biases")
    parser.add_argument("--wandb-group", metavar="NAME", help="the runs that it shows as one, such as those of a sweep")


def readme(stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    losses = [
        f"- {key.replace('_', ' ')}: {stats[key]:.4f} nats per token" for key in ("loss", "validation_loss") if key in stats
    ]
    return "\n".join(
        [
            "# A trained model",
            "",
            f"Family {stats['family']}, {stats['parameters']:,} parameters, trained on {stats['tokens']:,} tokens.",
            "",
            *losses,
            *(f"- {key.replace('_', ' ')}: {value}, chosen when the run began" for key, value in stats.get("chosen", {}).items()),
            "" if losses else "No learning curve: the model was trained by counting, in one pass.",
            "- `model.safetensors`: the weights; `model.json`: what they belong to, the digest of the tokenizer included",
            f"- `{METRICS}`: loss, learning rate, gradient norm, validation loss by step; `{TIMING}`: the clock at these steps",
            "- `stats.json`: the final numbers; `timing.json`: seconds, speed and memory of this run",
            "",
        ]
    )


if __name__ == "__main__":
    with distributed.joined() as joined:
        script.run(partial(main, joined))
