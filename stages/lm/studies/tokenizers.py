"""Tokenizers side by side: what each makes of every corpus, how fast, and how vocabularies grow with the text."""

import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from stages.lm.bpe.counting import count_batch
from stages.lm.bpe.interface import TextTokenizer
from stages.lm.bpe.pretokenization import CHARACTERS, WORDS
from stages.lm.errors import UserError
from stages.lm.studies import bpe_training
from stages.lm.studies.power_law import fit_power_law
from stages.lm.studies.settings import TokenizerStudy
from stages.lm.tokenizers.statistics import compression, longest_tokens

PILE_BYTES = 825e9
"""The Pile (Gao et al. 2020), the text by whose size the course measures an encoder."""
TIMED_BYTES = 2 << 20
"""Texts are repeated until they are as long, enough for the compiled encoder to be taken."""
LONGEST = 10


class Sample(NamedTuple):
    """What is read of a corpus."""

    train: str
    """The beginning of its train split, to learn from."""
    valid: list[str]
    """The first documents of its valid split, to encode."""


def measure(
    study: TokenizerStudy, tokenizers: Mapping[str, TextTokenizer], corpora: Mapping[str, Sample]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the texts determine, and what a clock measured. Raises UserError for corpora that are too small."""
    sizes = {name: fitting(study.sizes, sample.train) for name, sample in corpora.items()}
    for name, found in sizes.items():
        if len(found) < 3:
            raise UserError(f"corpora.{name}: has no {study.sizes[2]:,} bytes to train on; give it more, or begin `sizes` lower")
    everything = [text for sample in corpora.values() for text in sample.valid]
    if not everything:
        raise UserError("corpora: have no document in their valid splits to encode; give them more")
    stats = {
        "kind": study.kind,
        "tokenizers": compare(tokenizers, {name: sample.valid for name, sample in corpora.items()}),
        "growth": {name: growth(sample.train, sizes[name]) for name, sample in corpora.items()},
    }
    timing = {
        "vocab_size": study.vocab_size,
        "training": {name: bpe_training.measure(study, sample.train, sizes[name]) for name, sample in corpora.items()},
        "throughput": throughput(tokenizers, everything, study.rounds),
    }
    return stats, timing


def read_prefix(documents: Iterable[str], size: int) -> str:
    """The first documents, until together they have `size` bytes, or all of them."""
    found, read = [], 0
    for document in documents:
        if read >= size:
            break
        found.append(document)
        read += len(document.encode()) + 1
    return "\n".join(found)


def fitting(sizes: Sequence[int], text: str) -> list[int]:
    """The sizes that a text has bytes for."""
    length = len(text.encode())
    return [size for size in sizes if size <= length]


def compare(tokenizers: Mapping[str, TextTokenizer], samples: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """For each tokenizer its size, longest tokens, and by corpus what became of that corpus's documents."""
    return [
        {
            "tokenizer": name,
            "vocab_size": tokenizer.vocab_size,
            "longest_tokens": [token.decode("utf-8", "backslashreplace") for token in longest_tokens(tokenizer, LONGEST)],
            "corpora": {corpus: _compressed(tokenizer, texts) for corpus, texts in samples.items()},
        }
        for name, tokenizer in tokenizers.items()
    ]


def _compressed(tokenizer: TextTokenizer, texts: Sequence[str]) -> dict[str, Any]:
    found = compression(tokenizer, texts)
    return {
        "bytes": found.bytes,
        "tokens": found.tokens,
        "documents": len(texts),
        "bytes_per_token": found.bytes_per_token,
        "tokens_per_document": found.tokens / len(texts) if texts else None,
        "unknown": None if tokenizer.unknown is None else found.unknown,
    }


def growth(text: str, sizes: Sequence[int]) -> dict[str, Any]:
    """How many different words and characters the first bytes of a text have: Heaps' law, with its exponent."""
    data = text.encode()
    found: dict[str, Any] = {"bytes": list(sizes)}
    for unit, pattern in (("words", WORDS), ("characters", CHARACTERS)):
        counts = [len(count_batch([data[:size].decode("utf-8", "ignore")], (), pattern)) for size in sizes]
        found[unit] = {"distinct": counts, "fit": fit_power_law(sizes, counts)}
    return found


def throughput(tokenizers: Mapping[str, TextTokenizer], texts: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    """Bytes that each tokenizer encodes in a second of one thread, and the days that this makes for the Pile."""
    size = max(sum(len(text.encode()) for text in texts), 1)
    repeated = [*texts] * -(-TIMED_BYTES // size)
    seconds: dict[str, list[float]] = {name: [] for name in tokenizers}
    for number in range(rounds + 1):  # the first round warms up
        for name, tokenizer in tokenizers.items():
            began = time.thread_time()
            tokenizer.encode_batch(repeated)
            if number:
                seconds[name].append(time.thread_time() - began)
    total = size * (len(repeated) // max(len(texts), 1))
    rates = {name: total / median(found) for name, found in seconds.items()}
    return [
        {"tokenizer": name, "bytes_per_second": rate, "pile_days": PILE_BYTES / rate / 86_400} for name, rate in rates.items()
    ]
