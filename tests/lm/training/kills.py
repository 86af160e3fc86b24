"""Kill trainings at random instants, over and over, and compare what they end with: it must be the same bytes every time.

python -m tests.lm.training.kills [--kills 100] [--seed 0]

Each life is the train stage as a process of its own, forked from this one, which has imported everything already: so a life takes
as long as what it does, and the instants of death, uniform over a whole run's time, fall into all of it: start, resume, batches,
accumulated gradients, steps, background saves, the writing of the artifact.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401, what optimizers import slowly is there before the lives are forked
import yaml
from transformers import Trainer  # noqa: F401, as is this

import stages.train
from stages.lm import artifacts, script
from stages.lm.models import registry
from tests.counting_tokens import write_pairs, write_tokens

TRAINING = {
    "steps": 80, "batch_size": 5, "micro_batch_size": 2, "learning_rate": 1e-2, "log_every": 3, "validate_every": 20,
    "validation_windows": 4, "threads": 1, "device": "cpu",
}  # fmt: skip
TRANSFORMER = {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 16}
RECURRENT = {"layers": 1, "d_model": 16, "context_length": 16}
VARIANT = str(Path("config/variants/gated_attention.py").absolute())
CASES: dict[str, dict[str, Any]] = {
    "transformer": {"model": TRANSFORMER, "training": TRAINING},
    "transformer, dropout, documents, muon": {
        "model": TRANSFORMER | {"dropout": 0.1},
        "training": TRAINING | {"batches": "documents", "optimizer": "muon", "watch_every": 10},
    },
    "a variant by Trainer": {
        "model": {"family": "huggingface", "file": VARIANT, "context_length": 16, "config": {"hidden_size": 16}},
        "training": TRAINING | {"backend": "trainer", "batch_size": 4},
    },
    "bert": {
        "model": TRANSFORMER | {"family": "bert", "whole_words": True},
        "training": TRAINING | {"batches": "documents"},
    },
    "skipgram": {"model": {"family": "skipgram", "d_model": 16, "window": 3}, "training": TRAINING | {"steps": 60}},
    "cbow": {"model": {"family": "cbow", "d_model": 16, "subsample": 0.02}, "training": TRAINING | {"steps": 60}},
    **{family: {"model": RECURRENT | {"family": family}, "training": TRAINING} for family in ("rnn", "lstm", "gru")},
    "transformer-seq2seq": {"model": TRANSFORMER | {"family": "transformer-seq2seq"}, "training": TRAINING},
    "rnn-seq2seq": {
        "model": {"family": "rnn-seq2seq", "d_model": 16, "context_length": 16},
        "training": TRAINING | {"steps": 60},
    },
}
"""A tiny run of every family, with accumulation and a checkpoint as often as one can be written."""


def live(folder: Path, tokens: Path, settings: dict[str, Any]) -> int:
    """Begin a life of a run in `folder`; returns its process id."""
    child = os.fork()
    if child:
        return child
    os.chdir(folder)
    with (folder / "said.txt").open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    sys.argv = ["train", "--config", "settings.yaml", "--tokens", str(tokens), "--out", "run", "--checkpoint-seconds", "0"]
    code = 1
    with contextlib.suppress(SystemExit):
        script.run(stages.train.main)
        code = 0
    os._exit(code)


def end_of(folder: Path) -> str:
    """The hash over all files of the finished run that its seed determines."""
    return str(artifacts.read(folder / "run", "train").manifest["content"])


def whole_run(folder: Path, tokens: Path, settings: dict[str, Any]) -> tuple[str, float]:
    """What a run that is never killed ends with, and its seconds."""
    folder.mkdir(parents=True)
    began = time.monotonic()
    _, status = os.waitpid(live(folder, tokens, settings), 0)
    if status:
        raise RuntimeError((folder / "said.txt").read_text())
    return end_of(folder), time.monotonic() - began


def killed_run(
    folder: Path, tokens: Path, settings: dict[str, Any], moments: random.Random, seconds: float, most: int
) -> tuple[str, list[str]]:
    """Run to the end with at most so many kills on the way; returns what it ends with, and what each kill left behind."""
    folder.mkdir(parents=True)
    left: list[str] = []
    while True:
        child = live(folder, tokens, settings)
        if len(left) < most:
            time.sleep(moments.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return end_of(folder), left
        if os.WTERMSIG(status) != signal.SIGKILL:
            raise RuntimeError((folder / "said.txt").read_text())
        left.append(remains(folder))


def remains(folder: Path) -> str:
    """At what a run was when it was killed, as its files tell."""
    state = folder / "state" / "train" / "run"
    if (folder / "run" / artifacts.MANIFEST).exists():
        return "cleaning up"
    if any(state.glob(".step-*")):
        return "saving"
    if any((folder / "run" / artifacts.DRAFT).glob("model.*")):
        return "writing the artifact"
    return "training" if any(state.glob("step-*")) else "starting"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if all ends are equal, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m tests.lm.training.kills", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    moments, differing, families = random.Random(options.seed), 0, {"ngram"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        single, pairs = write_tokens(root / "tokens"), write_pairs(root / "pairs")
        for number, (name, settings) in enumerate(CASES.items()):
            due = (options.kills * (number + 1)) // len(CASES) - (options.kills * number) // len(CASES)
            if not due:
                continue
            families.add(settings["model"]["family"])
            tokens = pairs if "seq2seq" in settings["model"]["family"] else single
            expected, seconds = whole_run(root / name / "whole", tokens, settings)
            left: list[str] = []
            runs = 0
            while len(left) < due:
                found, more = killed_run(root / name / "killed", tokens, settings, moments, seconds, due - len(left))
                shutil.rmtree(root / name / "killed")
                left, runs, differing = left + more, runs + 1, differing + (found != expected)
            counts = ", ".join(f"{count} {what}" for what, count in Counter(left).most_common())
            sys.stdout.write(f"{name}: {len(left)} kills ({counts}) in {runs} runs, a whole one takes {seconds:.2f} s\n")
    missing = [family for family in registry.FAMILIES if family not in families]
    sys.stdout.write(f"{differing} runs ended with other bytes\n" + (f"not tried: {', '.join(missing)}\n" if missing else ""))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
