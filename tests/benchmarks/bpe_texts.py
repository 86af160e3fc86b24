"""Texts to measure BPE on, made on the spot: any machine has them, and all are the same from run to run."""

import lzma
import os
import random
import re
import shutil
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

EOT = "<|endoftext|>"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def make_texts(folder: Path, megabytes: int) -> dict[str, Path]:
    """The texts by name: stories of twice the size, documentation where it lies beside the checkout, code, and a fifth of
    Chinese, which has so many distinct words that libraries train on more of it for minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for make, size in ((stories, 2 * megabytes), (documentation, megabytes), (code, megabytes), (chinese, megabytes // 5)):
        path = folder / f"{make.__name__}-{size}.txt"
        if not path.exists():
            make(path, size * 1_000_000)
        if path.exists():
            found[make.__name__] = path
    return found


def documentation(path: Path, size: int) -> None:
    """Manual pages, documentation and dictionaries in several languages, if they are there."""
    packed = SHARED / "documentation.txt.xz"
    if packed.exists():
        with lzma.open(packed) as source, path.open("wb") as out:
            shutil.copyfileobj(source, out)
            out.truncate(min(size, out.tell()))


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
    """C headers, then Python's library and packages; from the start again if that is too little."""
    files = sorted(Path("/usr/include").rglob("*.h")) + sorted(Path(os.__file__).parent.rglob("*.py"))
    with path.open("wb") as out:
        for file in cycle(files):
            if out.tell() >= size:
                break
            out.write(file.read_text(errors="replace").encode() + f"\n{EOT}\n".encode())
