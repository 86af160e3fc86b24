"""Train a trial of a sweep, up to its end or to a rung, and record what came of it: a result, or why there is none.

python -m stages.trial --config FILE --tokens DIR --train DIR --out DIR -- python -m stages.train [options]

What stands after -- starts the training, whose artifact goes to --train like that of any other one; where that is made already,
nothing is started. A training that fails is recorded and no error: exit code 0. Told to stop it ends with 75 as a training does.
"""

import argparse
import json
import math
import signal
from pathlib import Path
from typing import Any

import yaml
from pydantic import PositiveInt

from stages.lm import artifacts, children, locks, provenance, script
from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.artifacts import Artifact
from stages.lm.errors import Stopped, UserError
from stages.lm.settings import parse
from stages.lm.sweeps.outcomes import Outcome, summary
from stages.lm.training.settings import TrainSettings

METRICS, TIMING = "metrics.jsonl", "timing.jsonl"
STOPPED = (Stopped.code, *(128 + number for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)))
"""Exit codes of a training that goes on another time."""


class TrialSettings(TrainSettings):
    """Settings of the trial stage."""

    until: PositiveInt | None = None
    """The step at which it pauses; None for its end."""

    def resolved(self) -> dict[str, Any]:
        return super().resolved() | {"until": self.until}


def main() -> None:
    args = script.arguments("trial", __doc__, inputs=("tokens",), extend=add_options)
    settings = parse(TrialSettings, args.settings, args.config)
    tokens = artifacts.read(args.inputs["tokens"], "tokenize")
    modules, folder = ("stages.train", *settings.modules), args.options.train
    state = Path("state") / "train" / folder.resolve().name
    with artifacts.writing(args.out, "trial", settings.resolved(), {"tokens": tokens}, modules) as draft:
        draft.volatile = {"timing.json", TIMING}
        with locks.alone(state):  # two sweeps may want the same training up to different steps
            code = provenance.code_version(*modules)
            trained, failure = finished(folder, code), None
            if trained is None:
                failure = train(settings, args.options, args.inputs["tokens"])
                trained = finished(folder, code)
            logs = trained.path if trained else state
            metrics, timing = (read_lines(logs / name, settings.until) for name in (METRICS, TIMING))
        outcome = outcome_of(settings, tokens, metrics, failure)
        draft.write_json("stats.json", outcome.resolved())
        draft.write_json("timing.json", {"seconds": timing[-1]["seconds"] if timing else 0.0})
        draft.write_text(METRICS, "".join(json.dumps(line) + "\n" for line in metrics))
        draft.write_text("README.md", readme(outcome))
    script.log.info("%s after step %d%s", outcome.state, outcome.steps, f": {outcome.message}" if outcome.message else "")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--train", required=True, type=Path, metavar="DIR", help="the training artifact, made or yet to be made")
    parser.add_argument("command", nargs="+", help="what starts the training, with its options")


def finished(folder: Path, code: str) -> Artifact | None:
    """The training artifact, if it is whole and of today's code."""
    try:
        artifact = artifacts.read(folder, "train")
    except UserError:
        return None
    return artifact if artifact.manifest["code"] == code else None


def train(settings: TrialSettings, options: argparse.Namespace, tokens: Path) -> str | None:
    """Run the training as far as it should come; returns why it failed.

    Raises Stopped if it was told to stop, UserError where it has met with a full disk or the like: no failure of the trial.
    """
    command = [*options.command, "--config", "-", "--tokens", str(tokens), "--out", str(options.train)]
    command += ["--pause-at", str(settings.until)] if settings.until else []
    command += ["--log", str(options.log)] if options.log else []
    ended = children.run(command, yaml.safe_dump(TrainSettings.resolved(settings)))
    if ended.code in STOPPED:
        raise Stopped(f"the training was told to stop ({ended.code}); the same command goes on")
    if ended.code - 128 in set(signal.Signals):
        return f"ended by {signal.Signals(ended.code - 128).name}"
    if not ended.code:
        return None
    message = ended.last_line.removeprefix("error: ")
    if script.is_of_the_system(message):
        raise UserError(message)
    return message


def read_lines(file: Path, until: int | None) -> list[dict[str, Any]]:
    """The lines of a log up to step `until`; none without a log. A line without an end is of a killed training."""
    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if until is None or line["step"] <= until]


def outcome_of(settings: TrialSettings, tokens: Artifact, metrics: list[dict[str, Any]], failure: str | None) -> Outcome:
    vocab_size = int(tokens.json("stats.json")["vocab_size"])
    try:
        flops = float(training_flops(forward_flops_per_token(settings.model, vocab_size), 1))
    except UserError:
        if failure is None:
            raise
        flops = 0.0  # a model that cannot be built costs nothing
    uniform = math.log(vocab_size) if settings.model.task != "vectors" else None  # whose loss is over few words
    return summary(metrics, settings.until, flops, uniform, failure)


def readme(outcome: Outcome) -> str:
    losses = "\n".join(f"- {name.replace('_', ' ')}: {value:.4f} nats per token" for name, value in outcome.last.items())
    why = f": {outcome.message}" if outcome.message else ""
    return f"""# A trial of a sweep

{outcome.state.capitalize()} after step {outcome.steps}{why}

{losses}

- `stats.json`: the outcome; `{METRICS}`: losses by step; `timing.json`: the clock
"""


if __name__ == "__main__":
    script.run(main)
