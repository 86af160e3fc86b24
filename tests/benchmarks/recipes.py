"""How many tokens the default recipe (Muon) needs for the loss that plain AdamW reaches with its best learning rate.

    python tests/benchmarks/recipes.py [--steps 500] [--rates 1e-3 2e-3 4e-3 8e-3] [--muon-rates 5e-3 1e-2]
        [--shares 0.25 0.5 0.75] [--seeds 0 1 2]

Model and recipe are those of config/config.yaml, the text is the documentation in ../shared/data by a tokenizer of 4,096 tokens
trained on it. AdamW takes all steps, with every rate and one seed, then with the best rate and all seeds. Muon, with the config's
rate unless others are named, of which the best at the largest share is taken, takes shares of the steps, each with a schedule of
its own. Where its loss meets AdamW's is interpolated between shares, for
each seed, over the logarithm of the tokens. Losses are those on text that none has seen. Two runs go side by side, a thread each,
so that speeds are not compared.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.measuring import machine, measure, spread  # noqa: E402
from tests.benchmarks.training_peers import windows  # noqa: E402

GPT = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["experiments"]["gpt"]
LENGTH = GPT["model"]["context_length"]
VOCAB_SIZE = 4096
HELD_OUT = 512 * (LENGTH + 1)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Train one model; its loss on held-out text, in nats per token."""
    import torch

    from stages.lm.models import registry
    from stages.lm.settings import parse
    from stages.lm.training import machine as machines
    from stages.lm.training.batches import Batch
    from stages.lm.training.learner import Learner
    from stages.lm.training.settings import TrainSettings

    settings = parse(TrainSettings, {"model": GPT["model"], "training": job["training"]}, "recipe")
    training, ids = settings.training, np.load(job["tokens"], mmap_mode="r")
    device = machines.prepare(training)
    built: Any = registry.build(settings.model, VOCAB_SIZE, training.seed)
    learner = Learner(built, training, device)
    for step in range(training.steps):
        batch = windows(job | {"batch_size": training.batch_size, "seed": training.seed}, ids[:-HELD_OUT], step)
        learner.step(Batch((batch,), batch[:, 1:].numel()), training.learning_rate_at(step + 1))
    parts = torch.from_numpy(ids[-HELD_OUT:].astype(np.int64)).view(-1, LENGTH + 1).split(16)
    with torch.no_grad():
        total = sum(built.eval().total_loss(part).item() for part in parts)
    return {"loss": total / (HELD_OUT // (LENGTH + 1) * LENGTH)}


def make_tokens(folder: Path) -> Path:
    """The documentation as ids."""
    from stages.lm.bpe import Tokenizer, train_bpe
    from stages.lm.tokenization import write_file
    from tests.benchmarks.bpe_texts import EOT, documentation

    text, out = folder / "text.txt", folder / "ids.npy"
    documentation(text, 100_000_000)
    if not text.exists():
        raise SystemExit("no documentation in ../shared/data")
    write_file(text, out, Tokenizer(*train_bpe(text, VOCAB_SIZE, [EOT]), [EOT]))
    return out


def meeting(tokens: list[int], losses: list[float], loss: float) -> float:
    """The tokens at which a falling line through these points is at `loss`; beyond its ends, the line of the nearest two."""
    pairs = list(zip(tokens, losses, strict=True))
    (t0, l0), (t1, l1) = next((two for two in pairwise(pairs) if two[1][1] <= loss), tuple(pairs[-2:]))
    return math.exp(math.log(t0) + (l0 - loss) / (l0 - l1) * math.log(t1 / t0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 2e-3, 4e-3, 8e-3])
    parser.add_argument("--muon-rates", type=float, nargs="+", default=[GPT["training"]["learning_rate"]])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 0.75])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    if args.job:
        print(json.dumps(work(json.loads(args.job))))
        return
    per_step = GPT["training"]["batch_size"] * LENGTH
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        shared = {"tokens": str(make_tokens(Path(folder))), "shape": {"context_length": LENGTH}}

        def losses(recipes: list[dict[str, Any]]) -> list[float]:
            trainings = [{**GPT["training"], "threads": 1, "device": "cpu", **recipe} for recipe in recipes]
            jobs = [shared | {"training": training} for training in trainings]
            found = [result["loss"] for result in pool.map(lambda job: measure(__file__, job), jobs)]
            for recipe, loss in zip(recipes, found, strict=True):
                print(f"{recipe}: {loss:.4f} nats/token", file=sys.stderr)
            return found

        plain = {"optimizer": "adamw", "steps": args.steps}
        tried = losses([{**plain, "learning_rate": rate, "seed": args.seeds[0]} for rate in args.rates])
        best = args.rates[int(np.argmin(tried))]
        adamw = losses([{**plain, "learning_rate": best, "seed": seed} for seed in args.seeds])
        steps = [round(share * args.steps) for share in args.shares]
        ours = losses([{"steps": steps[-1], "learning_rate": rate, "seed": args.seeds[0]} for rate in args.muon_rates])
        rate = args.muon_rates[int(np.argmin(ours))]
        muon = [losses([{"steps": number, "learning_rate": rate, "seed": seed} for seed in args.seeds]) for number in steps]
    tokens = [number * per_step for number in steps]
    needed = [meeting(tokens, [row[index] for row in muon], loss) for index, loss in enumerate(adamw)]
    rows = [
        ("adamw", best, args.steps, adamw),
        *(("muon", rate, *row) for row in zip(steps, muon, strict=True)),
    ]
    print(machine(len(args.seeds)).replace("rounds", "seeds"))
    print("\n| recipe | learning rate | tokens | loss, nats/token |\n|---|---|---|---|")
    for name, rate, number, found in rows:
        print(f"| {name} | {rate:g} | {number * per_step:,} | {' '.join(spread(found).split())} |")
    by_rate = [
        ", ".join(f"{rate:g}: {loss:.4f}" for rate, loss in zip(rates, found, strict=True))
        for rates, found in ((args.rates, tried), (args.muon_rates, ours))
    ]
    shares = [need / (args.steps * per_step) for need in needed]
    print(f"\nBy learning rate: AdamW {by_rate[0]}; Muon {by_rate[1]}.")
    print(f"Muon needs {statistics.median(shares):.0%} ({min(shares):.0%} – {max(shares):.0%}) of AdamW's tokens for its loss.")


if __name__ == "__main__":
    main()
