"""How fast n-grams are counted and smoothed, beside KenLM's lmplz, from tokens to an ARPA file.

    python tests/benchmarks/ngram.py --lmplz PATH [--tokens FILE.npy --vocab-size V] [--limit N] [--orders 3 5] [--rounds 5]

`--tokens` is the array of ids of a split, made by the stage tokenize, in which each document ends with the same id; without it,
the documentation in ../shared/data by GPT-2's vocabulary. lmplz gets the same ids as words in a text file, which is made before.
Both make interpolated modified Kneser-Ney models without pruning. Every measurement runs in a process of its own, ours after a
first model of a few tokens (compiling, loading). Rounds are interleaved. The memory is the peak of the process and its children.
The last column says whether both files hold as many n-grams of every length.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.measuring import Memory, machine, measure, spread  # noqa: E402

DATA = ROOT.parent / "shared" / "data"


def make_ours(job: dict[str, Any], out: Path) -> None:
    import numpy as np

    from stages.lm.models.ngram.arpa import write_arpa
    from stages.lm.models.ngram.estimation import estimate
    from stages.lm.models.settings import NgramSettings

    ids = np.load(job["tokens"], mmap_mode="r")[: job["limit"]]
    settings = NgramSettings(family="ngram", order=job["order"])
    tables = estimate(ids, job["vocab_size"], settings)
    write_arpa(out, tables, [str(token) for token in range(job["vocab_size"])], int(ids[-1]))


def make_lmplz(job: dict[str, Any], out: Path) -> None:
    command = [job["lmplz"], "-o", str(job["order"]), "--vocab_pad", str(job["vocab_size"]), "-S", job["sort_memory"]]
    command += ["-T", str(out.parent)]
    subprocess.run([*command, "--text", job["text"], "--arpa", str(out)], check=True, stdout=subprocess.DEVNULL)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """One measurement, in this process: seconds, peak memory, and the header of what came out."""
    make = {"stagecraft": make_ours, "lmplz": make_lmplz}[job["maker"]]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model.arpa"
        if job["maker"] == "stagecraft":
            make(job | {"limit": 250_000}, out)
        with Memory() as memory:
            started, used = time.perf_counter(), os.times()
            make(job, out)
            seconds, after = time.perf_counter() - started, os.times()
        with out.open("rb") as file:
            sizes = [int(next(file).split(b"=")[1]) for line in file for _ in range(job["order"]) if line == b"\\data\\\n"]
        return {
            "seconds": seconds,
            "processor": sum(after[:4]) - sum(used[:4]),
            "memory": memory.peak,
            "sizes": sizes[1:],
            "bytes": out.stat().st_size,
        }


def default_tokens(folder: Path) -> Path:
    """The documentation by GPT-2's vocabulary."""
    import lzma

    from stages.lm.bpe.files import read_gpt2
    from stages.lm.bpe.tokenizer import Tokenizer
    from stages.lm.tokenization import write_file

    end = "<|endoftext|>"
    found = read_gpt2(DATA / "gpt2/vocab.json", DATA / "gpt2/merges.txt", [end])
    text = folder / "documentation.txt"
    text.write_bytes(lzma.decompress((DATA / "documentation.txt.xz").read_bytes()))
    write_file(text, folder / "tokens.npy", Tokenizer(*found, [end]))
    return folder / "tokens.npy"


def as_words(tokens: Path, limit: int, text: Path) -> int:
    """Write the ids of whole documents as words, one document a line; returns how many ids these are."""
    import numpy as np

    ids = np.load(tokens, mmap_mode="r")
    ends = np.flatnonzero(ids[:limit] == ids[-1])
    with text.open("w", encoding="ascii") as file:
        for begin, end in zip([0, *(ends + 1)], ends, strict=False):
            file.write(" ".join(map(str, ids[begin:end].tolist())) + "\n")
    return int(ends[-1]) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lmplz", help="KenLM's program; without it ours is measured alone")
    parser.add_argument("--sort-memory", default="1G", help="what lmplz may sort in (its -S)")
    parser.add_argument("--tokens", type=Path)
    parser.add_argument("--vocab-size", type=int, default=50_257)
    parser.add_argument("--limit", type=int, default=10_000_000, help="tokens, to the end of the last whole document")
    parser.add_argument("--orders", type=int, nargs="*", default=[3, 5])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(work(json.loads(arguments.job))))
        return
    with tempfile.TemporaryDirectory() as folder:
        tokens = arguments.tokens or default_tokens(Path(folder))
        limit = as_words(tokens, arguments.limit, Path(folder) / "words.txt")
        shared = {"tokens": str(tokens), "text": f"{folder}/words.txt", "limit": limit, "vocab_size": arguments.vocab_size}
        jobs = [
            shared | {"order": order, "maker": maker, "lmplz": arguments.lmplz, "sort_memory": arguments.sort_memory}
            for order in arguments.orders
            for maker in ("stagecraft", *(["lmplz"] if arguments.lmplz else []))
        ]
        measured: list[list[dict[str, Any]]] = [[] for _ in jobs]
        for number in range(arguments.rounds):
            for job, results in zip(jobs, measured, strict=True):
                results.append(measure(__file__, job))
                print(f"round {number + 1}: order {job['order']} {job['maker']}: {results[-1]['seconds']:.2f} s", file=sys.stderr)
    print(table(jobs, measured, limit))


def table(jobs: list[dict[str, Any]], measured: list[list[dict[str, Any]]], tokens: int) -> str:
    """The results as Markdown."""
    lines = [
        f"{machine(len(measured[0]))}, {tokens:,} tokens",
        "",
        "| order | program | seconds (least – greatest) | tokens/s | processor seconds | ours is faster by | memory, MB "
        "| file, MB | n-grams |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ours: dict[int, tuple[float, Any]] = {}
    for job, results in zip(jobs, measured, strict=True):
        seconds = [result["seconds"] for result in results]
        median, sizes = statistics.median(seconds), results[0]["sizes"]
        base, expected = ours.setdefault(job["order"], (median, sizes))
        lines.append(
            f"| {job['order']} | {job['maker']} | {spread(seconds)} | {tokens / median:,.0f} "
            f"| {statistics.median(result['processor'] for result in results):.2f} | {median / base:.2f}× "
            f"| {statistics.median(result['memory'] for result in results) / 1e6:.0f} | {results[0]['bytes'] / 1e6:.0f} "
            f"| {sum(sizes):,}, {'equal' if sizes == expected else 'different'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
