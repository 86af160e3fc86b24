"""How right predicted times are: training steps and texts of models that the machine's profile has never seen.

    python tests/benchmarks/estimates.py [--rounds 5] [--profiles DIR]

The machine is measured first, unless DIR holds its profiles. Then every model takes a step, or writes, in each of the rounds;
what counts is its fastest, since others may use the machine. None of the models is one of those that a profile is fitted to.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.lm.accounting import profile  # noqa: E402
from stages.lm.accounting.batches import Lengths, random_batch  # noqa: E402
from stages.lm.accounting.operations import of_step  # noqa: E402
from stages.lm.accounting.roofline import breakdown  # noqa: E402
from stages.lm.accounting.texts import SURE, of_texts, write  # noqa: E402
from stages.lm.models import registry  # noqa: E402
from stages.lm.settings import parse  # noqa: E402
from stages.lm.training import machine as machines  # noqa: E402
from stages.lm.training.learner import Learner  # noqa: E402
from stages.lm.training.settings import TrainSettings  # noqa: E402
from tests.benchmarks.measuring import machine  # noqa: E402


def gpt(layers: int, heads: int, d_model: int, context_length: int, **more: Any) -> dict[str, Any]:
    shape = {"layers": layers, "heads": heads, "d_model": d_model, "context_length": context_length}
    return {"family": "transformer", **shape, **more}


def recurrent(family: str, layers: int, d_model: int, context_length: int) -> dict[str, Any]:
    return {"family": family, "layers": layers, "d_model": d_model, "context_length": context_length}


TRANSLATOR = {"family": "transformer-seq2seq", "layers": 3, "heads": 4, "d_model": 256, "context_length": 64}
BF16, MUON = {"precision": "bf16"}, {"optimizer": "muon"}
TRAINED: list[tuple[dict[str, Any], int, dict[str, Any]]] = [
    (gpt(3, 4, 96, 128), 1024, {"batch_size": 16}),
    (gpt(6, 6, 192, 256), 2048, {"batch_size": 8}),
    (gpt(4, 8, 256, 512), 8192, {"batch_size": 4, **BF16}),
    (gpt(4, 8, 256, 128), 4096, {"batch_size": 8, **MUON}),
    (gpt(6, 8, 384, 256), 8192, {"batch_size": 8}),
    (gpt(6, 8, 448, 192, kv_heads=2), 8192, {"batch_size": 8, **BF16, **MUON}),
    (gpt(3, 4, 128, 768), 1024, {"batch_size": 4}),
    (gpt(4, 16, 512, 256), 10_000, {"batch_size": 8, **BF16}),
    (gpt(6, 8, 512, 256, norm="layer", feed_forward="gelu"), 12_000, {"batch_size": 8, **BF16}),
    (recurrent("lstm", 2, 256, 64), 4096, {"batch_size": 16}),
    (recurrent("lstm", 2, 512, 96), 8000, {"batch_size": 32, **BF16}),
    (recurrent("gru", 2, 256, 64), 4096, {"batch_size": 32}),
    (recurrent("gru", 1, 448, 32), 6000, {"batch_size": 16, **BF16}),
    (TRANSLATOR, 4000, {"batch_size": 32}),
]
"""Models, their vocabularies, how they are trained."""
WRITTEN: list[tuple[dict[str, Any], int]] = [
    (gpt(4, 4, 192, 256), 4096),
    (gpt(6, 8, 384, 256), 8192),
    (gpt(4, 16, 512, 256), 10_000),
    (recurrent("lstm", 2, 256, 64), 4096),
    (recurrent("lstm", 2, 512, 64), 8000),
    (recurrent("gru", 1, 320, 64), 6000),
]
PROMPT, TOKENS = 16, 24


def steps(profiles: Path) -> tuple[list[str], list[float], list[Callable[[], object]]]:
    """Names, predicted seconds and the steps themselves."""
    names, predicted, works = [], [], []
    for model, vocab_size, training in TRAINED:
        settings = parse(TrainSettings, {"model": model, "training": {"device": "cpu", **training}}, "")
        kept = profile.of_training(settings.training, profiles, measuring=True)
        size = settings.training.batch_size
        batch = random_batch(settings.model, settings.training, vocab_size, Lengths(24, 22) if model is TRANSLATOR else None)
        predicted.append(breakdown(of_step(settings.model, settings.training, vocab_size, batch), kept)["total"])
        built: Any = registry.build(settings.model, vocab_size, 0)
        learner = Learner(built, settings.training, machines.prepare(settings.training))
        works.append(partial(learner.step, batch, 1e-3))
        names.append(describe(model, built, f"batch {size} {settings.training.precision} {settings.training.optimizer}"))
    return names, predicted, works


def texts(profiles: Path) -> tuple[list[str], list[float], list[Callable[[], object]]]:
    """The same for texts."""
    names, predicted, works = [], [], []
    kept = profile.of_writing(2, profiles, measuring=True)
    for model, vocab_size in WRITTEN:
        settings = parse(TrainSettings, {"model": model}, "").model
        built: Any = registry.build(settings, vocab_size, 0)
        for count in (1, 16):
            begin, token = of_texts(settings, vocab_size, count, PROMPT, TOKENS, SURE)
            predicted.append(breakdown(begin, kept)["total"] + (TOKENS - 1) * breakdown(token, kept)["total"])
            works.append(partial(write, built.eval(), count, PROMPT, TOKENS, SURE))
            names.append(describe(model, built, f"{count} at once"))
    return names, predicted, works


def describe(model: dict[str, Any], built: Any, how: str) -> str:
    size = f"{model['layers']} x {model['d_model']}, {model['context_length']}"
    return f"{model['family']} | {built.num_parameters() / 1e6:.1f}M | {size} | {how}"


def measure(works: list[Callable[[], object]], rounds: int) -> list[float]:
    """The fastest of the rounds; the first step makes the optimizer's state."""
    found: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, times in zip(works, found, strict=True):
            began = time.perf_counter()
            work()
            if number:
                times.append(time.perf_counter() - began)
    return [min(times) for times in found]


def table(what: str, names: list[str], predicted: list[float], measured: list[float]) -> str:
    errors = [promise / real - 1 for promise, real in zip(predicted, measured, strict=True)]
    lines = [
        f"| {what} | parameters | layers x width, context | how | measured ms | predicted ms | error |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, promise, real, error in zip(names, predicted, measured, errors, strict=True):
        lines.append(f"| {name} | {1e3 * real:.1f} | {1e3 * promise:.1f} | {error:+.1%} |")
    worst, middle = max(errors, key=abs), statistics.median(map(abs, errors))
    return "\n".join([*lines, "", f"Median error {middle:.1%}, largest {worst:+.1%}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profiles", type=Path, help="a folder of profiles, kept for the next time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        profiles = options.profiles or Path(folder)
        print(f"{machine(options.rounds)}, torch {torch.__version__}\n")
        torch.set_num_threads(2)
        names, predicted, works = texts(profiles)  # first, for training sets arithmetic for the whole process
        print(table("writing", names, predicted, measure(works, options.rounds)) + "\n", flush=True)
        names, predicted, works = steps(profiles)
        print(table("training", names, predicted, measure(works, options.rounds)))


if __name__ == "__main__":
    main()
