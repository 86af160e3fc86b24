"""Count and merge with the compiled functions: threads count words, each in a table of its own, then one of them merges."""

import queue
from collections.abc import Iterable, Sequence

from stages.lm.bpe.compiled.characters import kinds
from stages.lm.bpe.compiled.counting import WordTable
from stages.lm.bpe.compiled.special import SpecialTokens
from stages.lm.bpe.compiled.training import LONGEST_WORD, learn_merges
from stages.lm.bpe.compiled.words import NAMES
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.parallel import ordered_map
from stages.lm.bpe.training import Trained
from stages.lm.bpe.training import learn_merges as learn_merges_of_any_length


def train(
    batches: Iterable[Documents], vocab_size: int, special_tokens: Sequence[str], pattern: str, workers: int | None = None
) -> Trained:
    """Train on documents with one of the named patterns. The result does not depend on the number of threads."""
    text, offsets, lengths, counts = count(batches, special_tokens, pattern, workers).words()  # the table itself goes
    if len(lengths) and int(lengths.max()) > LONGEST_WORD:
        rows = zip(offsets.tolist(), lengths.tolist(), counts.tolist(), strict=True)
        words = {text[offset : offset + length].tobytes(): occurrences for offset, length, occurrences in rows}
        vocab, merges = learn_merges_of_any_length(words, vocab_size, special_tokens)
    else:
        vocab, merges = learn_merges(text, offsets, lengths, counts, vocab_size, special_tokens)
    return Trained(vocab, merges, int(counts.sum()), len(counts))


def count(batches: Iterable[Documents], special_tokens: Sequence[str], pattern: str, workers: int | None) -> WordTable:
    """Count the words of documents, special tokens left out."""
    special = SpecialTokens(dict.fromkeys(special_tokens, 0))
    table = kinds()
    idle: queue.SimpleQueue[WordTable] = queue.SimpleQueue()

    def add(batch: Documents) -> None:
        try:
            words = idle.get_nowait()
        except queue.Empty:
            words = WordTable()
        words.add(batch, NAMES[pattern], table, special)
        idle.put(words)

    for _ in ordered_map(add, batches, workers, threads=True):
        pass
    tables = sorted((idle.get() for _ in range(idle.qsize())), key=len)
    total = tables.pop() if tables else WordTable()
    for smaller in tables:
        total.add_table(smaller)
    return total
