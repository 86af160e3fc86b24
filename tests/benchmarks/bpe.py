"""How fast BPE trains and encodes, beside the libraries that one would take instead.

    python tests/benchmarks/bpe.py [--rounds 5] [--megabytes 100] [--text NAME=FILE ...] [--tokenizer FOLDER] [--cores 1 2]

Every measurement runs in a process of its own, which first warms the code up on a small text (compiling, loading). Measured is
reading a file, the work with no words known from before, and for encoding writing the ids to a file. Rounds are interleaved, so
that a busy machine troubles all alike. The table shows the median of the rounds with the least and the greatest, and the peak
memory of the process and its children (PSS). Peers that are not installed are left out, with the reason. Documents in a text end
with <|endoftext|>.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
EOT = "<|endoftext|>"
WARM_UP_BYTES = 2 << 20
PEERS = ("stagecraft", "gigatoken", "rustbpe", "tiktoken", "tokenizers")


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


class Memory:
    """The peak of the proportional memory of this process and its children, sampled every 100 ms, in bytes."""

    def __enter__(self) -> "Memory":
        self.peak, self.done = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.done.wait(0.1):
            self.peak = max(self.peak, sum(map(self._pss, self._tree(os.getpid()))))

    def _tree(self, process: int) -> list[int]:
        try:
            children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        except OSError:
            children = []
        return [process, *(below for child in children for below in self._tree(int(child)))]

    def _pss(self, process: int) -> int:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Run one measurement in a new process."""
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{job['peer']} failed to {job['task']} {job['path']}:\n{result.stderr[-2000:]}")
    return dict(json.loads(result.stdout.splitlines()[-1]))


def zipf(words: list[str], seed: int) -> Iterator[str]:
    """Words without end, the r-th as often as 1 / (r + 3)."""
    import numpy as np

    draw = np.random.default_rng(seed)
    share = np.cumsum(1 / (np.arange(len(words)) + 3))
    while True:
        yield from (words[rank] for rank in np.searchsorted(share, draw.random(10_000) * share[-1]).tolist())


def stories(path: Path, size: int) -> None:
    """Template stories with a Zipf tail of invented words: few distinct words, as in TinyStories. Seeded."""
    draw = random.Random(0)
    parts = ["ba", "ko", "mi", "ru", "ten", "sol", "va", "lin", "dor", "pe", "sha", "wick", "ous", "ing", "er", "ly"]
    words = sorted(
        {"".join(draw.choices(parts, k=draw.randint(1, 4))) for _ in range(40_000)}, key=lambda word: (len(word), word)
    )
    names = ["Tom", "Lily", "Ben", "Anna", "Max", "Mia", "Sam", "Sue", "Tim", "Amy", "Jack", "Lucy"]
    templates = [
        "Once upon a time, there was a {w} {w} named {n}. ",
        '{n} said, "No, it\'s my {w}!" ',
        "One day, {n} and {n} went to the {w} to find a {w}. ",
        "They were very {w} and didn't know what to do.\n",
        "The {w} was big and {w}, but {n} wasn't scared. ",
        "{n} was so happy that she hugged the {w}.\n\n",
        "They played together until it was dark. ",
    ]
    pieces = [re.split(r"\{(.)\}", template) for template in templates]
    rare, named = zipf(words, 0), zipf(names, 1)
    with path.open("w", encoding="utf-8") as file:
        written = 0
        while written < size:
            story = []
            for sentence in draw.choices(pieces, k=draw.randint(8, 20)):
                story += [{"w": rare, "n": named}[piece].__next__() if i % 2 else piece for i, piece in enumerate(sentence)]
            written += file.write("".join(story) + f"\n{EOT}\n")


def chinese(path: Path, size: int) -> None:
    """Sentences of Chinese characters, 1 to 3 a word, with a Zipf tail. Seeded."""
    draw = random.Random(0)
    words = ["".join(chr(0x4E00 + int(draw.paretovariate(0.7)) % 6000) for _ in range(draw.randint(1, 3))) for _ in range(30_000)]
    word = zipf(words, 0)
    with path.open("w", encoding="utf-8") as file:
        written = 0
        while written < size:
            sentences = ["".join(islice(word, draw.randint(4, 16))) + draw.choice("。，！？") for _ in range(50)]
            written += 3 * file.write("".join(sentences) + f"\n{EOT}\n")


def code(path: Path, size: int) -> None:
    """Python's own standard library, over and over."""
    files = sorted(Path(os.__file__).parent.rglob("*.py"))
    with path.open("wb") as out:
        for file in cycle(files):
            if out.tell() >= size:
                break
            out.write(file.read_bytes() + f"\n{EOT}\n".encode())


def texts(arguments: argparse.Namespace) -> dict[str, Path]:
    """The texts to measure on, made on the spot where they are not given."""
    found = {name: Path(path) for name, _, path in (text.partition("=") for text in arguments.text)}
    arguments.data.mkdir(parents=True, exist_ok=True)
    for make in (stories, chinese, code):
        path = arguments.data / f"{make.__name__}-{arguments.megabytes}.txt"
        if not path.exists():
            make(path, arguments.megabytes * 1_000_000)
        found.setdefault(make.__name__, path)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--text", action="append", default=[], metavar="NAME=FILE", help="another text to measure on")
    parser.add_argument("--only", nargs="*", help="names of the texts to measure on")
    parser.add_argument("--tasks", nargs="*", default=["train", "encode"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--tokenizer", type=Path, help="the tokenizer to encode with; default: one trained on the stories")
    parser.add_argument("--cores", type=int, nargs="*", default=[len(os.sched_getaffinity(0))])
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "stagecraft-benchmark")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(work(json.loads(arguments.job))))
        return
    found = texts(arguments)
    tokenizer = arguments.tokenizer or default_tokenizer(arguments.data, found["stories"])
    peers = [peer for peer in arguments.peers if available(peer)]
    jobs = [
        {"task": task, "text": name, "path": str(path), "cores": cores, "peer": peer}
        | {"vocab_size": arguments.vocab_size, "tokenizer": str(tokenizer)}
        for task in arguments.tasks
        for name, path in found.items()
        if not arguments.only or name in arguments.only
        for cores in arguments.cores
        for peer in peers
        if f"{task}_{peer}" in globals()
    ]
    measured: list[list[dict[str, Any]]] = [[] for _ in jobs]
    for round_number in range(arguments.rounds):
        for job, results in zip(jobs, measured, strict=True):
            results.append(measure(job))
            shown = f"{job['task']} {job['text']} {job['peer']}: {results[-1]['seconds']:.2f} s"
            print(f"round {round_number + 1}: {shown}", file=sys.stderr)
    print(table(jobs, measured))


def available(peer: str) -> bool:
    if peer == "stagecraft" or importlib.util.find_spec(peer):
        return True
    print(f"{peer} is left out: it is not installed (pip install {peer})", file=sys.stderr)
    return False


def default_tokenizer(data: Path, text: Path) -> Path:
    """A tokenizer of 32,000 tokens trained on the stories."""
    from stages.lm.bpe import Tokenizer, train_bpe
    from stages.lm.bpe.files import save_tokenizer

    folder = data / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(exist_ok=True)
        save_tokenizer(folder, Tokenizer(*train_bpe(text, 32_000, [EOT]), [EOT]))
    return folder


def table(jobs: list[dict[str, Any]], measured: list[list[dict[str, Any]]]) -> str:
    """The results as Markdown."""
    lines = [
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{len(measured[0])} rounds",
        "",
        "| task | text | MB | cores | library | seconds (least – greatest) | MB/s | ours is faster by | memory, MB | output |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    ours: dict[Any, tuple[float, Any]] = {}
    for job, results in zip(jobs, measured, strict=True):
        seconds = [result["seconds"] for result in results]
        median, key = statistics.median(seconds), (job["task"], job["text"], job["cores"])
        if job["peer"] == "stagecraft":
            ours[key] = median, results[0]["result"]
        base, reference = ours.get(key, (median, results[0]["result"]))
        size = Path(job["path"]).stat().st_size / 1e6
        memory = statistics.median(result["memory"] for result in results) / 1e6
        lines.append(
            f"| {job['task']} | {job['text']} | {size:.0f} | {job['cores']} | {job['peer']} "
            f"| {median:.2f} ({min(seconds):.2f} – {max(seconds):.2f}) | {size / median:.1f} | {median / base:.2f}× "
            f"| {memory:.0f} "
            f"| {agreement(reference, results[0]['result'])} |"
        )
    return "\n".join(lines)


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
