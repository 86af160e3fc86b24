"""How fast the training loop is, beside a Hugging Face Trainer and a plain loop on the same shape, batches and settings.

    python -m venv peers && peers/bin/pip install torch transformers accelerate numpy
    python tests/benchmarks/training.py --peers peers/bin/python [--rounds 5] [--timed-steps 5] [--batch-size 32]
    python tests/benchmarks/training.py --peers peers/bin/python --learn 200 --seeds 0 1 2 --batch-size 8
    python tests/benchmarks/training.py --shape gpt2 --ways "stagecraft, bf16, compiled" --batch-size 64 --tokens FILE.npy # GPU

The shape is the course's for TinyStories: vocabulary 10,000, context 256, width 512, 4 layers, 16 heads; 22.7M parameters. Or it
is that of the smallest GPT-2. The text is any array of ids that the vocabulary has (`--tokens FILE.npy`); by default the
documentation in ../shared/data by a tokenizer trained on it on the spot. Every measurement runs in a process of its own and
leaves its first steps out (compiling, first touch of memory); rounds are interleaved. Shown is the median of the rounds with the
least and the greatest; of the peak, the rate of the largest matrix product of a block (of one with 8192 rows, columns and inner
numbers on a GPU) that was measured in the same process. `--learn` trains to the end instead, and compares the losses on text that
none has seen. No environment variable is set for anybody.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.measuring import machine, measure, spread  # noqa: E402
from tests.benchmarks.training_peers import windows  # noqa: E402

SHAPES = {
    "tinystories": {"vocab_size": 10_000, "context_length": 256, "d_model": 512, "d_ff": 1344, "layers": 4, "heads": 16},
    "gpt2": {"vocab_size": 50_304, "context_length": 1024, "d_model": 768, "d_ff": 2048, "layers": 12, "heads": 12},
}
HELD_OUT_WINDOWS = 256
WAYS = {
    "stagecraft, bf16": {"precision": "bf16"},
    "stagecraft, bf16, compiled": {"precision": "bf16", "compile": True},
    "stagecraft, bf16, graphs": {"precision": "bf16", "compile": "graphs"},
    "stagecraft, fp32": {"precision": "fp32"},
    "Hugging Face Trainer, bf16": {"peer": "Hugging Face Trainer", "precision": "bf16"},
    "Hugging Face Trainer, fp32": {"peer": "Hugging Face Trainer", "precision": "fp32"},
    "plain loop, fp32": {"peer": "plain loop", "precision": "fp32"},
}


def work(job: dict[str, Any]) -> dict[str, Any]:
    """One measurement of our own loop, in this process: when each step ended, the loss on held-out text, the machine's peak."""
    import torch

    from stages.lm.models import registry
    from stages.lm.models.settings import TransformerSettings
    from stages.lm.training import machine
    from stages.lm.training.batches import Batch
    from stages.lm.training.learner import Learner
    from stages.lm.training.loop import Run
    from stages.lm.training.settings import TrainingSettings
    from stages.lm.training.state import StateFolder

    ids = np.load(job["tokens"], mmap_mode="r")
    shape = {key: value for key, value in job["shape"].items() if key != "vocab_size"}
    model_settings = TransformerSettings(family="transformer", **shape)  # type: ignore[arg-type]
    settings = TrainingSettings(
        steps=job["steps"],
        batch_size=job["batch_size"],
        micro_batch_size=job["micro_batch_size"],
        learning_rate=job["learning_rate"],
        validate_every=job["steps"],
        threads=job["threads"],
        precision=job["precision"],
        compile=job.get("compile", False),
        seed=job["seed"],
    )
    device = machine.prepare(settings)
    held_out = torch.from_numpy(ids[-job["held_out"] :].astype(np.int64)).view(HELD_OUT_WINDOWS, -1).split(16)

    class Data:
        tokens_per_step = job["batch_size"] * shape["context_length"]

        def batch(self, step: int) -> Batch:
            return Batch((windows(job, ids[: -job["held_out"]], step),), self.tokens_per_step)

        def validation(self) -> Iterator[Batch]:
            yield from (Batch((part,), part[:, 1:].numel()) for part in held_out)

    clock: list[float] = []

    class Timed(Run):
        def report(self, *arguments: Any) -> None:
            if device.type == "cuda" and self.done.step in (job["warm_up"], job["stop"]):
                torch.cuda.synchronize()
            clock.append(time.perf_counter())
            if self.done.step == job["stop"]:
                raise StopIteration
            super().report(*arguments)

    inner, columns = (8192, 8192) if device.type == "cuda" else (shape["d_model"], shape["d_ff"])
    peak = machine.matmul_rate((8192, inner, columns), settings, device)
    with tempfile.TemporaryDirectory() as folder:
        run = Timed(
            lambda: Learner(registry.build(model_settings, job["shape"]["vocab_size"], job["seed"]), settings, device),  # type: ignore[arg-type]
            Data(),
            StateFolder(Path(folder), {}),
        )
        clock.append(time.perf_counter())
        with suppress(StopIteration):
            run.train()
        loss = run.learner.validate(run.data)
    gpu = f", {torch.cuda.get_device_name()}, torch {torch.__version__}" if device.type == "cuda" else ""
    return {"clock": clock, "held_out_loss": loss, "peak": peak, "gpu": gpu}


def default_tokens(folder: Path, vocab_size: int) -> Path:
    """The documentation by a tokenizer of its own."""
    from stages.lm.bpe import Tokenizer, train_bpe
    from stages.lm.tokenization import write_file
    from tests.benchmarks.bpe_texts import EOT, documentation

    text, out = folder / "documentation.txt", folder / "documentation.npy"
    documentation(text, 100_000_000)
    if not text.exists():
        raise SystemExit("no documentation in ../shared/data; give --tokens FILE.npy")
    write_file(text, out, Tokenizer(*train_bpe(text, vocab_size, [EOT]), [EOT]))
    return out


def table(results: dict[str, list[dict[str, Any]]], warm_up: int, tokens: int, flops: float) -> str:
    """tokens/s by way, the share of the peak, and how many times the Trainer's and the plain loop's rate it is.

    tokens: of a step; flops: of a token.
    """
    rates = {
        way: [tokens * (len(run["clock"]) - 1 - warm_up) / (run["clock"][-1] - run["clock"][warm_up]) for run in runs]
        for way, runs in results.items()
    }
    peaks = {run_way.split(", ")[1]: statistics.median(run["peak"] for run in runs) for run_way, runs in results.items()
             if "peak" in runs[0]}  # fmt: skip
    peers = [way for way in rates if not way.startswith("stagecraft")]
    lines = [
        "| | tokens/s | of the peak |" + "".join(f" × {peer} |" for peer in peers),
        "|---|---|---|" + "---|" * len(peers),
    ]
    for way, found in rates.items():
        peak = peaks.get(way.split(", ")[1])
        share = f"{statistics.median(found) * flops / peak:.0%}" if peak else ""
        ratios = "".join(f" {statistics.median(found) / statistics.median(rates[peer]):.2f} |" for peer in peers)
        lines.append(f"| {way} | {spread(found)} | {share} |{ratios}")
    measured = ", ".join(f"{precision} {peak / 1e9:.0f}" for precision, peak in sorted(peaks.items()))
    return "\n".join([*lines, "", f"Matrix products at their best, GFLOP/s: {measured}."])


def losses(results: dict[str, list[dict[str, Any]]]) -> str:
    """Nats per token on the held-out text by way."""
    rows = [f"| {way} | {spread([run['held_out_loss'] for run in runs])} |" for way, runs in results.items()]
    return "\n".join(["| | loss on held-out text |", "|---|---|", *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--peers", type=Path, help="a Python that has torch, transformers and accelerate")
    parser.add_argument("--tokens", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="tinystories")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-up-steps", type=int, default=2)
    parser.add_argument("--timed-steps", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--micro-batch-size", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learn", type=int, metavar="STEPS", help="train to the end and compare losses")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    if args.job:
        print(json.dumps(work(json.loads(args.job))))
        return
    from stages.lm.accounting.flops import forward_flops_per_token, training_flops
    from stages.lm.models.settings import TransformerSettings

    shape = SHAPES[args.shape]
    context_length, vocab_size = shape["context_length"], shape["vocab_size"]
    with tempfile.TemporaryDirectory() as folder:
        tokens = args.tokens or default_tokens(Path(folder), vocab_size)
        stop = args.learn or args.warm_up_steps + args.timed_steps
        common = {"tokens": str(tokens), "shape": shape, "batch_size": args.batch_size, "micro_batch_size": args.micro_batch_size,
                  "threads": args.threads, "warm_up": args.warm_up_steps, "stop": stop, "steps": args.learn or 200,
                  "learning_rate": 1e-3, "held_out": HELD_OUT_WINDOWS * (context_length + 1)}  # fmt: skip
        ways = [way for way in args.ways if args.peers or "peer" not in WAYS[way]]
        results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for seed in args.seeds if args.learn else range(args.rounds):
            for way in ways:
                job = {**common, **WAYS[way], "seed": seed}
                peer = "peer" in job
                script = str(Path(__file__).with_name("training_peers.py")) if peer else __file__
                results[way].append(measure(script, job, str(args.peers) if peer else sys.executable))
                print(f"seed {seed}: {way}: {results[way][-1]['held_out_loss']:.4f} nats/token", file=sys.stderr)
    model = TransformerSettings(family="transformer", **{key: shape[key] for key in shape if key != "vocab_size"})  # type: ignore[arg-type]
    flops = training_flops(forward_flops_per_token(model, vocab_size, context_length), 1)
    gpu = next((run["gpu"] for runs in results.values() for run in runs if "gpu" in run), "")
    about = f"{machine(len(args.seeds) if args.learn else args.rounds)}{gpu}, batch {args.batch_size}"
    print(f"{about}, {flops / 1e6:.1f} MFLOP/token\n")
    print(losses(results) if args.learn else table(results, args.warm_up_steps, args.batch_size * context_length, flops))


if __name__ == "__main__":
    main()
