"""How long training byte pairs takes as the text grows: the naive trainer, the one with a heap, and its compiled twin.

For n bytes of text with w bytes of distinct words and m merges, the naive trainer takes O(n) to count the words and O(m w) to
merge, since it looks at every word for every merge. With pair counts kept up to date and a heap, merging takes O(w log w).
Distinct words grow slower than the text (Heaps' law), so on a large text all of them are O(n), and what counts is the factor.

Times are those of one thread's processor clock, so that other work on the machine counts little.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from stages.lm.bpe import reference, training
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.pretokenization import compile_pattern, find_words
from stages.lm.progress import progress
from stages.lm.studies.power_law import fit_power_law
from stages.lm.studies.settings import TokenizerStudy

PATTERN, SPECIAL = "gpt2", ["<|endoftext|>"]
Seconds = dict[str, float]
"""CPU seconds of each part of a training, in their order."""


def measure(study: TokenizerStudy, text: str, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """For each trainer the sizes in bytes, the seconds of each part at each size, and the power law of all parts together."""
    data = text.encode()
    trainers: dict[str, Callable[[bytes, int], Seconds]] = {"naive": naive, "heap": heap, "compiled": compiled}
    runs = [
        (name, size)
        for _ in range(study.rounds)
        for size in sizes
        for name in trainers
        if name != "naive" or size <= study.naive_bytes
    ]
    compiled(data[: sizes[0]], study.vocab_size)  # loads the compiled code
    seconds: dict[tuple[str, int], list[Seconds]] = {}
    with progress("train", len(runs), " trainings") as bar:
        for name, size in runs:
            seconds.setdefault((name, size), []).append(trainers[name](data[:size], study.vocab_size))
            bar.update(1)
    return [_series(name, {size: found for (other, size), found in seconds.items() if other == name}) for name in trainers]


def _series(name: str, measured: dict[int, list[Seconds]]) -> dict[str, Any]:
    parts = {part: [median(one[part] for one in rounds) for rounds in measured.values()] for part in measured[min(measured)][0]}
    total = [sum(values) for values in zip(*parts.values(), strict=True)]
    return {
        "trainer": name,
        "bytes": list(measured),
        "parts": parts,
        "seconds": total,
        "fit": fit_power_law(list(measured), total),
    }


def naive(data: bytes, vocab_size: int) -> Seconds:
    """Every pair of every word is counted again for every merge."""
    return _plain(data, lambda counts: reference.train(counts, vocab_size, SPECIAL))


def heap(data: bytes, vocab_size: int) -> Seconds:
    """Counts change only beside a merged pair; the next one comes from a heap."""
    return _plain(data, lambda counts: training.learn_merges(counts, vocab_size, SPECIAL))


def _plain(data: bytes, learn: Callable[[Counter[bytes]], Any]) -> Seconds:
    clock = [time.thread_time()]
    words = find_words(compile_pattern(PATTERN), data.decode("utf-8", "surrogateescape"))
    clock.append(time.thread_time())
    counts = Counter({word.encode("utf-8", "surrogateescape"): count for word, count in Counter(words).items()})
    clock.append(time.thread_time())
    learn(counts)
    clock.append(time.thread_time())
    return dict(zip(("pre-tokenization", "counting", "merging"), (b - a for a, b in pairwise(clock)), strict=True))


def compiled(data: bytes, vocab_size: int) -> Seconds:
    """The same in machine code, where words are counted as they are found."""
    from stages.lm.bpe.compiled.trainer import count
    from stages.lm.bpe.compiled.training import learn_merges

    clock = [time.thread_time()]
    words = count([Documents.of_bytes(data)], SPECIAL, PATTERN, 1).words()
    clock.append(time.thread_time())
    learn_merges(*words, vocab_size, SPECIAL)
    clock.append(time.thread_time())
    return dict(zip(("pre-tokenization and counting", "merging"), (b - a for a, b in pairwise(clock)), strict=True))
