"""How fast a trained model writes with a draft and without one, text by text.

    python tests/benchmarks/speculation.py --model results/train/gpt-… --draft results/train/5-gram-… --tokens results/tokenize/…
        [--prompts 20] [--draft-tokens 1 3 7] [--temperature 0] [--rounds 3] [--threads 2]

Prompts are the first 16 tokens of documents of the split `test`; 128 tokens are written after each, in bf16 by compiled code, and
reading the prompt is part of it. Rounds are interleaved; the first, in which code is compiled, does not count. A prompt's rate is
the median of its rounds; shown is the median over the prompts with the least and the greatest, and how that compares with the
bound: whoever writes one token at a time has to read all weights but the embedding table for it.
"""

import argparse
import statistics
import sys
import time
from collections import deque
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.lm.inference import loading  # noqa: E402
from stages.lm.inference.generation import Request, sample_generator, stream  # noqa: E402
from stages.lm.inference.loading import Trained  # noqa: E402
from stages.lm.inference.settings import DecodingSettings  # noqa: E402
from stages.lm.inference.speculation import Tally, check, speculate  # noqa: E402
from stages.lm.inference.stopping import Stop  # noqa: E402
from stages.lm.models import registry  # noqa: E402
from stages.lm.tokens import TokenArray  # noqa: E402
from tests.benchmarks.decoding import BYTES, bandwidth  # noqa: E402
from tests.benchmarks.measuring import machine, spread  # noqa: E402

PROMPT, TOKENS = 16, 128


def prompts(tokens: TokenArray, count: int) -> list[list[int]]:
    """The beginnings of the first documents that are long enough."""
    documents = (tokens.document(index) for index in range(len(tokens)))
    return [document[:PROMPT].tolist() for document in documents if len(document) > PROMPT][:count]


def write(model: Trained, draft: Trained, prompt: list[int], settings: DecodingSettings, tally: Tally) -> float:
    """Tokens per second of one text; without a draft where the settings name none."""
    requests, began = [Request(prompt, sample_generator(0, 0, 0))], time.perf_counter()
    texts = (
        speculate(model, draft, requests, settings, Stop(), tally)
        if settings.draft
        else stream(model, requests, settings, Stop())
    )
    deque(texts, maxlen=0)
    return TOKENS / (time.perf_counter() - began)


def weights_read(folder: Path) -> int:
    """The bytes of weights that a token takes in bf16: all but the embedding table, unless it is the head's too."""
    described, model = registry.describe(folder), registry.load(folder)
    table = 0 if described.settings.tie_embeddings else described.vocab_size * described.settings.d_model  # type: ignore[union-attr]
    return BYTES["bf16"] * (model.num_parameters() - table)


def ways_of(counts: list[int], temperature: float) -> dict[str, DecodingSettings]:
    """Without a draft, and by so many drafted tokens: of the draft alone, and of what the text repeats before it."""
    plain = DecodingSettings(max_tokens=TOKENS, temperature=temperature, top_p=None, repetition_penalty=1.0, compile=True)
    ways = {"no draft": plain}
    for does_repeat, name in ((False, ""), (True, ", repeats first")):
        for count in counts:
            changes = {"draft": "draft", "draft_tokens": count, "draft_repeats": does_repeat}
            ways[f"{count} drafted{name}"] = plain.model_copy(update=changes)
    return ways


def table(rates: dict[str, list[list[float]]], tallies: dict[str, Tally], bound: float) -> str:
    """Rates by way: of each prompt those of its rounds."""
    lines = [
        "| | tokens/s | of the bound | prompts beyond it | drafted tokens taken | tokens a pass |",
        "|---|---|---|---|---|---|",
    ]
    for way, found in rates.items():
        middle = [statistics.median(rounds) for rounds in found]
        beyond = sum(rate > bound for rate in middle)
        tally = tallies[way]
        said = tally.summary()
        drafted = f"{said['acceptance']:.0%} | {said['tokens_per_pass']:.2f}" if tally.passes else "| 1"
        share = f"{statistics.median(middle) / bound:.0%}"
        lines.append(f"| {way} | {spread(middle)} | {share} | {beyond} of {len(middle)} | {drafted} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--draft", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--draft-tokens", type=int, nargs="+", default=[1, 3, 7])
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    model = loading.open_model(args.model, "cpu", args.threads, "bf16", is_compiled=True)
    draft = loading.open_model(args.draft, "cpu", args.threads)
    check(model, draft)
    ways = ways_of(args.draft_tokens, args.temperature)
    texts = prompts(TokenArray.open(args.tokens, "test"), args.prompts)
    rates: dict[str, list[list[float]]] = {way: [[] for _ in texts] for way in ways}
    tallies, speeds = {way: Tally() for way in ways}, []
    for number in range(args.rounds + 1):
        for place, prompt in enumerate(texts):
            for way, settings in ways.items():
                tally = tallies[way] if number == 1 else Tally()
                rate = write(model, draft, prompt, settings, tally)
                print(f"round {number}: prompt {place}, {way}: {rate:.0f} tokens/s", file=sys.stderr)
                if number:
                    rates[way][place].append(rate)
        speeds.append(bandwidth())
    bound = max(speeds) / weights_read(args.model)
    print(f"{machine(args.rounds)}, {args.threads} threads, torch {torch.__version__}, {len(texts)} prompts\n")
    print(f"Memory gives {max(speeds) / 1e9:.1f} GB/s, so the bound is {bound:.0f} tokens/s.\n")
    print(table(rates, tallies, bound))


if __name__ == "__main__":
    main()
