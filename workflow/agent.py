"""One trial of a sweep for `wandb agent`: W&B says what to try, the config and the artifacts of the DAG tell the rest.

python -m workflow.agent --configfile FILE --sweep NAME

is what the `command` of a sweep file names. The training becomes the artifact that the DAG itself would make of these settings:
neither trains what the other has. Its tokens have to be made before.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from stages.lm import locks, script
from stages.lm.errors import UserError
from stages.lm.nested import leaves
from stages.lm.sweeps.trials import train_settings
from stages.lm.training import tracking
from workflow.config import Config
from workflow.nodes import Node
from workflow.plan import build, training_options
from workflow.reading import load


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workflow.agent", description=__doc__.partition("\n")[0])
    parser.add_argument("--configfile", required=True, metavar="FILE", help="the config that names the sweep")
    parser.add_argument("--sweep", required=True, metavar="NAME", help="its name there")
    args = parser.parse_args()
    if "WANDB_SWEEP_ID" not in os.environ:
        raise UserError("`wandb agent` starts this command and says what to try; put it into the sweep file's `command`")
    config = load(args.configfile)
    if args.sweep not in config.sweeps:
        raise UserError(f"--sweep: {args.configfile} has no sweep {args.sweep!r}, only {', '.join(config.sweeps) or 'none'}")
    run = _begin()
    train = training(config, args.sweep, dict(leaves(dict(run.config))))
    with locks.alone(Path("state") / "train" / train.folder):  # another agent may have been given the same
        if train.is_made:
            _show(train)
        else:
            _train(train)
    run.finish()


def _begin() -> Any:
    """The run that the agent has announced."""
    try:
        import wandb
    except ImportError:
        raise UserError("the package wandb is not installed; install it") from None
    return wandb.init(settings=wandb.Settings(silent=True))


def training(config: Config, sweep: str, parameters: Mapping[str, Any]) -> Node:
    """The training of these parameters. Raises UserError where its tokens are not made yet."""
    varied = build(config).experiments[config.sweeps[sweep].experiment]
    settings, tokens = train_settings(config.searches[sweep].base, parameters), varied["tokenize"]
    if not tokens.is_made:
        raise UserError(f"{tokens.path}: is not made yet; run `snakemake tokenize --cores 2 --configfile …` first")
    options = (*training_options(config.execution, varied["bpe"]), "--wandb", "online")
    return Node.training(varied["train"].name, settings, tokens, options, varied["train"].job)


def _show(train: Node) -> None:
    """Log what a finished training wrote."""
    tracker = tracking.start("online", False, train.folder, {})  # which takes the run that is under way
    for line in (train.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        tracker.log(json.loads(line))


def _train(train: Node) -> None:
    """Run the train stage in this process, whose W&B run it takes."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as settings:
        yaml.safe_dump(dict(train.settings), settings)
        settings.flush()
        where = ["--tokens", str(train.inputs["tokens"].path), "--out", str(train.path)]
        sys.argv = ["train", "--config", settings.name, *where, *train.options]
        import_module("stages.train").main()


if __name__ == "__main__":
    script.run(main)
