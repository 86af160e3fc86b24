"""How fast BPE trains and encodes, beside the libraries that one would take instead.

    pip install --target peers gigatoken awkward rustbpe tiktoken tokenizers
    python tests/benchmarks/bpe.py --libraries peers --out table.md

Every measurement runs in a process of its own, which first warms the code up on a small text (compiling, loading). Measured is
reading a file, the work with no words known from before, and for encoding writing the ids to a file. Rounds are interleaved, so
that a busy machine troubles all alike. The table shows the median of the rounds with the least and the greatest, and the peak
memory of the process and its children (PSS). Peers that are not installed are left out, with the reason. `--libraries` keeps
them out of our own process: what gigatoken comes with (awkward) would be loaded there by numba.

The texts are made on the spot: stories (200 MB, vocabulary 10,000), documentation if it lies beside the checkout, C headers and
Python, Chinese with a Zipf tail. `--text NAME=FILE` measures on another, or takes the place of one of these: documents end with
<|endoftext|>, and what `apt-get download manpages-zh` or `linux-source` unpack to, put into one file, are real Chinese and C.
Slow peers encode the first megabytes of a text only, which the column MB tells; `--only`, `--tasks`, `--peers`, `--cores` and
`--rounds` bound a run. A text that is another ten times over shows whether memory grows.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.bpe_texts import EOT, SHARED, make_texts  # noqa: E402
from tests.benchmarks.measuring import Memory, machine, measure, spread, trim  # noqa: E402

Job = dict[str, Any]
WARM_UP_BYTES = 2 << 20
PEERS = ("stagecraft", "gigatoken", "rustbpe", "tiktoken", "tokenizers")
SLICES = {"tiktoken": 20_000_000, "tokenizers": 5_000_000}
"""Bytes for each core that slow peers encode."""
VOCABULARIES = {"stories": 10_000}
"""Where not 32,000."""


def documents(path: Path) -> Iterator[str]:
    """The documents of a text, held whole: what the peers' own interfaces take."""
    yield from path.read_text(encoding="utf-8", errors="replace").split(EOT)


def train_stagecraft(path: Path, vocab_size: int, cores: int) -> list[Any]:
    from stages.lm.bpe import train_bpe

    return train_bpe(path, vocab_size, [EOT], workers=cores)[1]


def train_gigatoken(path: Path, vocab_size: int, _cores: int) -> list[Any]:
    import gigatoken

    return list(gigatoken.train_bpe(gigatoken.TextFileSource([str(path)], separator=EOT), vocab_size, [EOT])[1])


def train_rustbpe(path: Path, vocab_size: int, _cores: int) -> list[Any]:
    import rustbpe

    from stages.lm.bpe.pretokenization import PATTERNS

    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(documents(path), vocab_size - 1, pattern=PATTERNS["gpt2"])
    return []


def train_tokenizers(path: Path, vocab_size: int, _cores: int) -> list[Any]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from stages.lm.bpe.files import from_text

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents(path), trainer)
    return [tuple(map(from_text, pair)) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


Encode = Callable[[Path, Path], None]


def encode_stagecraft(folder: Path, cores: int) -> Encode:
    from stages.lm.bpe.files import load_tokenizer
    from stages.lm.tokenization import write_file

    tokenizer = load_tokenizer(folder)

    def encode(path: Path, out: Path) -> None:
        write_file(path, out, tokenizer, workers=cores)

    return encode


def encode_gigatoken(folder: Path, cores: int) -> Encode:
    import awkward
    import gigatoken
    import numpy as np

    tokenizer = gigatoken.Tokenizer(str(folder / "tokenizer.json"))

    def encode(path: Path, out: Path) -> None:
        ids = tokenizer.encode_files(gigatoken.TextFileSource([str(path)], separator=EOT), parallel=cores > 1)
        np.save(out, np.asarray(awkward.flatten(ids)).astype(np.uint16))

    return encode


def encode_tiktoken(folder: Path, cores: int) -> Encode:
    import numpy as np
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe

    from stages.lm.bpe.pretokenization import PATTERNS

    ranks = load_tiktoken_bpe(str(folder / "tokenizer.tiktoken"))
    encoding = tiktoken.Encoding("benchmark", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={})

    def encode(path: Path, out: Path) -> None:
        texts = list(documents(path))
        if cores == 1:
            arrays = [np.array(encoding.encode_ordinary(text), np.uint16) for text in texts]
        else:
            arrays = [np.array(ids, np.uint16) for ids in encoding.encode_ordinary_batch(texts, num_threads=cores)]
        np.save(out, np.concatenate(arrays))

    return encode


def encode_tokenizers(folder: Path, _cores: int) -> Encode:
    import numpy as np
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def encode(path: Path, out: Path) -> None:
        arrays = [np.array(found.ids, np.uint16) for found in tokenizer.encode_batch_fast(list(documents(path)))]
        np.save(out, np.concatenate(arrays))

    return encode


def work(job: dict[str, Any]) -> dict[str, Any]:
    """One measurement, in this process: seconds, peak memory, and what came out."""
    os.sched_setaffinity(0, range(job["cores"]))
    os.environ |= {"RAYON_NUM_THREADS": str(job["cores"]), "TOKENIZERS_PARALLELISM": "true"}
    if job["peer"] != "stagecraft":
        sys.path.append(job["libraries"])
    function: Callable[..., Any] = globals()[f"{job['task']}_{job['peer']}"]
    with tempfile.TemporaryDirectory() as folder:
        small, out = Path(folder) / "small.txt", Path(folder) / "ids.npy"
        with Path(job["path"]).open("rb") as file:
            small.write_bytes(file.read(WARM_UP_BYTES))

        def ready(vocab_size: int) -> Callable[[Path], Any]:
            if job["task"] == "train":
                return lambda path: function(path, vocab_size, job["cores"])
            encode = function(Path(job["tokenizer"]), job["cores"])
            return lambda path: encode(path, out)

        ready(400)(small)
        trim()
        measured = ready(job["vocab_size"])
        with Memory() as memory:
            started = time.perf_counter()
            result = measured(Path(job["path"]))
            seconds = time.perf_counter() - started
        return {"seconds": seconds, "memory": memory.peak, "result": outcome(job, result, out)}


def outcome(job: dict[str, Any], result: Any, out: Path) -> Any:
    """What peers are compared by: the hash of all ids but end-of-text ones, or of each merge."""
    if job["task"] == "train":
        return [hashlib.sha256(repr(tuple(pair)).encode()).hexdigest()[:8] for pair in result]
    import numpy as np

    from stages.lm.bpe.files import load_tokenizer

    ids = np.load(out)
    return hashlib.sha256(ids[ids != load_tokenizer(Path(job["tokenizer"])).end_of_text].tobytes()).hexdigest()


def sliced(path: Path, size: int, folder: Path) -> Path:
    """The first documents of a text, about `size` bytes; the text itself if it is no larger."""
    if path.stat().st_size <= size:
        return path
    part = folder / f"{path.stem}-first-{size}.txt"
    if not part.exists():
        with path.open("rb") as file:
            data = file.read(size)
        part.write_bytes(data[: data.rfind(EOT.encode()) + len(EOT)])
    return part


def plan(arguments: argparse.Namespace) -> list[Job]:
    """All measurements of a round. Peers that would take minutes encode the beginning of a text only."""
    texts = make_texts(arguments.data, arguments.megabytes)
    texts |= {name: Path(path) for name, _, path in (text.partition("=") for text in arguments.text)}
    tokenizer = arguments.tokenizer or default_tokenizer(arguments.data, texts["stories"])
    every = len(os.sched_getaffinity(0))
    jobs = []
    for task in arguments.tasks:
        for name in arguments.only or texts:
            for cores in arguments.cores or ([every] if task == "train" else sorted({1, every})):
                for peer in filter(available, arguments.peers):
                    size = SLICES.get(peer, 1 << 60) * cores if task == "encode" else 1 << 60
                    path = sliced(texts[name], size, arguments.data)
                    job = {"task": task, "text": name, "path": str(path), "cores": cores, "peer": peer}
                    job |= {"vocab_size": VOCABULARIES.get(name, 32_000), "tokenizer": str(tokenizer)}
                    job["libraries"] = str(arguments.libraries.resolve())
                    if f"{task}_{peer}" in globals():
                        jobs.append(job)
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=100, help="size of texts; stories are twice as long, Chinese a fifth")
    parser.add_argument("--text", action="append", default=[], metavar="NAME=FILE", help="another text, or another of a name")
    parser.add_argument("--only", nargs="*", help="names of the texts to measure on")
    parser.add_argument("--tasks", nargs="*", default=["train", "encode"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--libraries", type=Path, default=Path("peers"), help="folder of the peers, if not in the environment")
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer to encode with; default: GPT-2's, or of stories")
    parser.add_argument("--cores", type=int, nargs="*", help="default: all to train, one and all to encode")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "stagecraft-benchmark")
    parser.add_argument("--out", type=Path, help="also write the table to this file, after each round")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(work(json.loads(arguments.job))))
        return
    sys.path.append(str(arguments.libraries))
    jobs = plan(arguments)
    ours = {reference_key(job): job | {"peer": "stagecraft"} for job in jobs}
    references = {key: measure(__file__, job)["result"] for key, job in ours.items()}
    measured: list[list[dict[str, Any]]] = [[] for _ in jobs]
    for round_number in range(arguments.rounds):
        for job, results in zip(jobs, measured, strict=True):
            results.append(measure(__file__, job))
            shown = f"{job['task']} {job['text']} {job['cores']} {job['peer']}: {results[-1]['seconds']:.2f} s"
            print(f"round {round_number + 1}: {shown}", file=sys.stderr)
        if arguments.out:
            arguments.out.write_text(table(jobs, measured, references))
    print(table(jobs, measured, references))


def reference_key(job: Job) -> tuple[str, str]:
    """Jobs with the same key should come to the same result."""
    return job["task"], job["path"]


@cache
def available(peer: str) -> bool:
    if peer == "stagecraft" or importlib.util.find_spec(peer):
        return True
    print(f"{peer} is left out: it is not installed (pip install {peer})", file=sys.stderr)
    return False


def default_tokenizer(data: Path, text: Path) -> Path:
    """GPT-2's vocabulary if it lies beside the checkout, else 32,000 tokens trained on a text."""
    from stages.lm.bpe import Tokenizer, train_bpe
    from stages.lm.bpe.files import save_tokenizer

    folder, gpt2 = data / "tokenizer", SHARED / "gpt2"
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(exist_ok=True)
        if gpt2.is_dir():
            save_tokenizer(folder, Tokenizer.from_files(gpt2 / "vocab.json", gpt2 / "merges.txt", [EOT]))
        else:
            save_tokenizer(folder, Tokenizer(*train_bpe(text, 32_000, [EOT]), [EOT]))
    return folder


def table(jobs: list[Job], measured: list[list[dict[str, Any]]], references: dict[tuple[str, str], Any]) -> str:
    """The results as Markdown. Ratios are of megabytes per second, for the texts of slow peers are shorter."""
    lines = [
        machine(len(measured[-1])),
        "",
        "| task | text | MB | cores | library | seconds (least – greatest) | MB/s | ours is faster by | memory, MB | output |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    speeds = {}
    for job, results in zip(jobs, measured, strict=True):
        seconds = [result["seconds"] for result in results]
        size, median = Path(job["path"]).stat().st_size / 1e6, statistics.median(seconds)
        key = job["task"], job["text"], job["cores"]
        if job["peer"] == "stagecraft":
            speeds[key] = size / median
        memory = statistics.median(result["memory"] for result in results) / 1e6
        lines.append(
            f"| {job['task']} | {job['text']} | {size:.0f} | {job['cores']} | {job['peer']} "
            f"| {spread(seconds)} | {size / median:.1f} "
            f"| {speeds.get(key, size / median) / (size / median):.2f}× | {memory:.0f} "
            f"| {agreement(references[reference_key(job)], results[0]['result'])} |"
        )
    return "\n".join(lines) + "\n"


def agreement(ours: Any, theirs: Any) -> str:
    """Whether the output is ours: ids are the same or not, merges up to the first tie that is broken otherwise."""
    if isinstance(ours, str):
        return "equal" if ours == theirs else "differs"
    if not theirs:
        return "not comparable"
    same = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), min(len(ours), len(theirs)))
    return "equal" if same == len(ours) == len(theirs) else f"first {same} merges equal"


if __name__ == "__main__":
    main()
