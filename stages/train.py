"""Train a model on a token artifact: by counting, or by gradient descent with checkpoints that outlive the job.

python -m stages.train --config FILE --tokens DIR --out DIR [--state DIR] [--checkpoint-seconds S] [--wandb MODE]

Killed at any moment, the same command goes on from the last checkpoint and ends with the same bytes.
"""

import argparse
from pathlib import Path
from typing import Any

from stages.lm import artifacts, provenance, script
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.tokens import TokenArray
from stages.lm.training import fitting, tracking
from stages.lm.training.metrics import METRICS, TIMING
from stages.lm.training.settings import TrainSettings
from stages.lm.training.state import StateFolder


def main() -> None:
    args = script.arguments("train", __doc__, inputs=("tokens",), extend=add_options)
    settings = parse(TrainSettings, args.settings, args.config)
    tokens = artifacts.read(args.inputs["tokens"], "tokenize")
    about = tokens.json("stats.json")
    splits = {split: TokenArray.open(tokens.path, split) for split in ("train", "valid")}
    family = registry.module_of(settings.model.family)

    with artifacts.writing(args.out, "train", settings.resolved(), {"tokens": tokens}, {family}) as draft:
        draft.seed, draft.volatile = settings.training.seed, {TIMING, "timing.json"}
        identity = {
            "settings and tokens": artifacts.digest("train", settings.resolved(), {"tokens": tokens.digest}),
            "code": provenance.code_version("stages.train", family),
        }
        state = StateFolder(args.options.state or Path("state") / "train" / args.out.resolve().name, identity)
        tracker = tracking.start(args.options.wandb, args.out.resolve().name, settings.resolved())
        fitted = fitting.fit(settings, about["vocab_size"], splits, state, tracker, args.options.checkpoint_seconds)
        description = registry.ModelDescription(
            family=settings.model.family,
            settings=settings.model,
            vocab_size=about["vocab_size"],
            end_of_text=about["end_of_text"],
            tokenizer=about["tokenizer"],
            tokens=tokens.digest,
        )
        registry.save(fitted.model, description, draft.path)
        draft.write_text(METRICS, fitted.logs[METRICS])
        draft.write_text(TIMING, fitted.logs[TIMING])
        draft.write_json("stats.json", fitted.stats)
        draft.write_json("timing.json", fitted.timing)
        draft.write_text("README.md", readme(fitted.stats))
    tracker.close()
    state.remove()


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", type=Path, metavar="DIR", help="checkpoints (default: state/train/<name of --out>)")
    parser.add_argument("--checkpoint-seconds", type=float, default=300.0, metavar="S", help="time between checkpoints")
    parser.add_argument("--wandb", choices=tracking.MODES, default="disabled", help="also log to Weights & Biases")


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
            "" if losses else "No learning curve: the model was trained by counting, in one pass.",
            "- `model.safetensors`: the weights; `model.json`: what they belong to, the digest of the tokenizer included",
            f"- `{METRICS}`: loss, learning rate, gradient norm, validation loss by step; `{TIMING}`: the clock at these steps",
            "- `stats.json`: the final numbers; `timing.json`: seconds, speed and memory of this run",
            "",
        ]
    )


if __name__ == "__main__":
    script.run(main)
