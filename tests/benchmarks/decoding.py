"""How fast texts are written, beside Hugging Face's `generate` on the same weights in the same process.

    python tests/benchmarks/decoding.py [--rounds 5] [--texts 3] [--batch-sizes 1 16] [--threads 2] [--ways WAY ...]

The shape is the course's for TinyStories: vocabulary 10,000, context 256, width 512, 4 layers, 16 heads; 22.7M parameters. The
weights are drawn, exported by `stages.lm.hub` and loaded by transformers. A prompt of 16 tokens, 128 new ones, drawn from the 50
most probable; reading the prompt is part of it. Rounds are interleaved; the first, in which code is compiled, does not count. In
a round each way writes a few texts (or batches) one after the other, so that what the way before left in caches counts little.
Shown is the median with the least and the greatest, and how that compares with `generate` and with the bound: whoever writes one
token has to read all weights but the embedding table once, and memory gives them at the rate that is measured between rounds.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.lm.hub.folder import layout_for, write_model  # noqa: E402
from stages.lm.inference import loading  # noqa: E402
from stages.lm.inference.generation import Request, generate, sample_generator  # noqa: E402
from stages.lm.inference.settings import DecodingSettings  # noqa: E402
from stages.lm.inference.stopping import Stop  # noqa: E402
from stages.lm.models import registry  # noqa: E402
from stages.lm.models.settings import TransformerSettings  # noqa: E402
from tests.benchmarks.measuring import machine, spread  # noqa: E402

VOCAB, PROMPT, TOKENS, TOP_K = 10_000, 16, 128, 50
SHAPE = TransformerSettings(family="transformer", context_length=256, d_model=512, d_ff=1344, layers=4, heads=16)
PEER = "Hugging Face, bf16, dynamic cache"
WAYS: dict[str, dict[str, Any]] = {
    "stagecraft, bf16, compiled": {"precision": "bf16", "compile": True},
    "stagecraft, int8": {"precision": "int8"},
    "stagecraft, int8, compiled": {"precision": "int8", "compile": True},
    "stagecraft, bf16": {"precision": "bf16"},
    "stagecraft, fp32": {"precision": "fp32"},
    PEER: {"precision": "bf16", "cache": None},
    "Hugging Face, bf16, static cache": {"precision": "bf16", "cache": "static"},
    "Hugging Face, fp32, dynamic cache": {"precision": "fp32", "cache": None},
}
BYTES = {"fp32": 4, "bf16": 2, "int8": 1}


def save(folder: Path) -> Any:
    """A model's artifact as far as loading needs it, and a folder for transformers; returns its number of parameters."""
    model: Any = registry.build(SHAPE, VOCAB, 0)
    description = registry.ModelDescription(
        family="transformer", settings=SHAPE, vocab_size=VOCAB, end_of_text=0, tokenizer="none", tokens="none"
    )
    (folder / "exported").mkdir()
    registry.save(model, description, folder)
    write_model(folder / "exported", folder, description, layout_for(SHAPE, "auto"))
    return model.num_parameters()


def ours(folder: Path, how: dict[str, Any], batch: int, threads: int) -> Callable[[], object]:
    """Writes `batch` texts."""
    settings = DecodingSettings(max_tokens=TOKENS, temperature=1.0, top_k=TOP_K, top_p=None, repetition_penalty=1.0)
    trained = loading.open_model(folder, "cpu", threads, how["precision"], how.get("compile", False))
    requests = [Request(range(1, PROMPT), sample_generator(0, 0, number)) for number in range(batch)]
    return lambda: generate(trained, requests, settings, Stop())


def theirs(folder: Path, how: dict[str, Any], batch: int) -> Callable[[], object]:
    """The same by transformers."""
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if how["precision"] == "bf16" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "exported", dtype=dtype).eval()
    ids = torch.arange(PROMPT).repeat(batch, 1)
    sampling = {"do_sample": True, "top_k": TOP_K, "top_p": 1.0, "temperature": 1.0, "eos_token_id": None, "pad_token_id": 0}
    return lambda: model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, cache_implementation=how["cache"], **sampling
    )


def bandwidth() -> float:
    """Bytes per second that memory gives, at its best of a few readings."""
    block = torch.ones(1 << 26)  # 256 MB, of which caches keep little
    times = []
    for _ in range(4):
        began = time.perf_counter()
        block.sum()
        times.append(time.perf_counter() - began)
    return block.nbytes / min(times)


def table(rates: dict[tuple[str, int], list[float]], ways: list[str], batches: list[int], bounds: dict[str, float]) -> str:
    """tokens/s by way and batch, how many times `generate` it is, and of one text alone the share of the bound."""
    heads = [f"batch {batch}, tokens/s | × Hugging Face" + (" | of the bound" if batch == 1 else "") for batch in batches]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (1 + sum(head.count("|") + 1 for head in heads)) + "|"]
    for way in ways:
        cells = []
        for batch in batches:
            found = rates[way, batch]
            peer = rates.get((PEER, batch))
            cells += [spread(found), f"{statistics.median(found) / statistics.median(peer):.2f}" if peer else ""]
            cells += [f"{statistics.median(found) / bounds[WAYS[way]['precision']]:.0%}"] if batch == 1 else []
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rates: dict[tuple[str, int], list[float]] = {}
    speeds = []
    with tempfile.TemporaryDirectory() as name:
        read = save(Path(name)) - VOCAB * SHAPE.d_model
        work = {
            (way, batch): theirs(Path(name), WAYS[way], batch)
            if "cache" in WAYS[way]
            else ours(Path(name), WAYS[way], batch, args.threads)
            for way in args.ways
            for batch in args.batch_sizes
        }
        for number in range(args.rounds + 1):
            for (way, batch), write in work.items():
                began = time.perf_counter()
                for _ in range(args.texts):
                    write()
                seconds = (time.perf_counter() - began) / args.texts
                print(f"round {number}: {way}, batch {batch}: {seconds:.2f} s", file=sys.stderr)
                if number:
                    rates.setdefault((way, batch), []).append(batch * TOKENS / seconds)
            speeds.append(bandwidth())
    fastest = max(speeds)
    bounds = {precision: fastest / (read * size) for precision, size in BYTES.items()}
    print(f"{machine(args.rounds)}, {args.threads} threads, torch {torch.__version__}")
    print(f"\nMemory gives {fastest / 1e9:.1f} GB/s, so the bound for one text is {bounds['bf16']:.0f} tokens/s in bf16.\n")
    print(table(rates, args.ways, args.batch_sizes, bounds))


if __name__ == "__main__":
    main()
