"""Count the words of a text: all that training needs to know of it. Memory depends on the distinct words only."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from stages.lm.bpe.chunks import CHUNK_CHARACTERS, read_text
from stages.lm.bpe.parallel import ordered_map
from stages.lm.bpe.pretokenization import compile_pattern, find_words, special_pattern, split_specials, stream_pieces

PARALLEL_BYTES = 8 << 20
"""Below this size starting processes takes longer than counting in one."""


def count_file(path: Path, special_tokens: Sequence[str], pattern: str, processes: int | None = None) -> Counter[bytes]:
    """How often each word occurs in a text file. Raises UserError where it cannot be read.

    Bytes that are not valid UTF-8 are kept as they are and count as characters that are neither letters, digits nor spaces.
    """
    pieces = stream_pieces(read_text(path), special_tokens, pattern)
    if path.is_file() and path.stat().st_size < PARALLEL_BYTES:
        processes = 1
    return _count(([piece] for piece in pieces), special_tokens, pattern, processes)


def count_documents(
    documents: Iterable[str], special_tokens: Sequence[str], pattern: str, processes: int | None = None
) -> Counter[bytes]:
    """How often each word occurs in separate texts: no word reaches from one into the next."""
    batches = _batches(documents)
    first = next(batches, [])
    if sum(map(len, first)) < CHUNK_CHARACTERS:
        processes = 1
    return _count(chain([first], batches), special_tokens, pattern, processes)


def _count(batches: Iterable[list[str]], special_tokens: Sequence[str], pattern: str, processes: int | None) -> Counter[bytes]:
    count = partial(count_batch, special_tokens=tuple(special_tokens), pattern=pattern)
    total: Counter[str] = Counter()
    for counts in ordered_map(count, batches, processes):
        total.update(counts)
    return Counter({word.encode("utf-8", "surrogateescape"): count for word, count in total.items()})


def count_batch(texts: list[str], special_tokens: tuple[str, ...], pattern: str) -> Counter[str]:
    """How often each word occurs in `texts`, special tokens left out."""
    compiled, specials = compile_pattern(pattern), special_pattern(frozenset(special_tokens))
    segments = chain.from_iterable(split_specials(text, specials)[::2] for text in texts)
    return Counter(chain.from_iterable(find_words(compiled, segment) for segment in segments))


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    """Documents in lists of about a megabyte, so that handing them to a process costs little."""
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size >= CHUNK_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
