"""ARPA files, the text form of back-off models that SRILM, KenLM and others read and write.

    \\data\\
    ngram 1=50259

    \\1-grams:
    -5.0844717<tab>word<tab>-0.1768133      log10 of probability and back-off weight; the longest n-grams have no weight

The boundary token is `<s>` where an n-gram begins with it and `</s>` where it ends with it. All tokens of the vocabulary are
listed, so `<unk>` stands for none of them. A probability of 0 is written as -99, as usual. Numbers have seven decimals, as many
as 32-bit numbers hold; what was written and read is written the same again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stages.lm.errors import UserError
from stages.lm.models.ngram.backoff import Ints, Table, find

SCALE = 10**7
ZERO = np.int32(np.iinfo(np.int32).min)
"""Stands for the logarithm of 0 among the scaled ones."""
START, END, UNKNOWN = "<s>", "</s>", "<unk>"

Scaled = NDArray[np.int32]


def write_arpa(file: Path, tables: list[Table], words: Sequence[str], boundary: int, fast: bool | None = None) -> None:
    """Write back-off tables; words[i] is token i, without white space. `fast` compiled or not, by default where it pays."""
    fast = sum(len(table.tokens) for table in tables) > 1_000_000 if fast is None else fast
    with file.open("wb") as stream:
        sizes = [len(tables[0].tokens) + 2, *(len(table.tokens) for table in tables[1:])]
        stream.write("\n".join(["\\data\\", *(f"ngram {n}={size}" for n, size in enumerate(sizes, 1)), ""]).encode())
        for n in range(1, len(tables) + 1):
            stream.write(f"\n\\{n}-grams:\n".encode())
            if n == 1:
                stream.write("".join(_unigrams(tables[0], words, boundary)).encode())
            elif fast:
                from stages.lm.models.ngram.compiled.arpa import write_ngrams

                write_ngrams(stream, tables[:n], words, boundary)
            else:
                _write_ngrams(stream, tables[:n], words, boundary)
        stream.write(b"\n\\end\\\n")


def scaled_logarithms(values: NDArray[np.float32]) -> Scaled:
    """log10 in units of 1e-7; ZERO for 0."""
    with np.errstate(divide="ignore"):
        logarithms = np.log10(values.astype(np.float64))
    logarithms *= SCALE
    return np.where(values > 0, np.rint(logarithms, out=logarithms), ZERO).astype(np.int32)


def number(scaled: int) -> str:
    """A scaled logarithm as text."""
    if scaled == ZERO:
        return "-99"
    whole, part = divmod(abs(scaled), SCALE)
    return "0" if scaled == 0 else f"{'-' * (scaled < 0)}{whole}.{part:07}"


def _unigrams(table: Table, words: Sequence[str], boundary: int) -> Iterator[str]:
    """All tokens, the boundary as a start (which nothing predicts) and as an end (after which nothing comes)."""
    last = not len(table.backoff)
    weights = ["" if last else "\t" + number(value) for value in scaled_logarithms(table.backoff).tolist()] or [""] * len(words)
    none = "" if last else "\t0"
    yield f"-99\t{UNKNOWN}{none}\n"
    yield f"-99\t{START}{weights[boundary]}\n"
    for token, value in enumerate(scaled_logarithms(table.probability).tolist()):
        ends = token == boundary
        yield f"{number(value)}\t{END if ends else words[token]}{none if ends else weights[token]}\n"


def _write_ngrams(stream: BinaryIO, tables: list[Table], words: Sequence[str], boundary: int) -> None:
    """The n-grams of the last of `tables`, in its order: the reference of `compiled.arpa.write_ngrams`."""
    last = tables[-1]
    weights = scaled_logarithms(last.backoff).tolist()
    for row, (tokens, value) in enumerate(
        zip(sequences(tables).tolist(), scaled_logarithms(last.probability).tolist(), strict=True)
    ):
        text = [words[token] if token != boundary else END if place else START for place, token in enumerate(tokens)]
        weight = f"\t{number(weights[row])}" if weights else ""
        stream.write(f"{number(value)}\t{' '.join(text)}{weight}\n".encode())


def sequences(tables: list[Table]) -> Ints:
    """The tokens of all n-grams of the last of `tables`: (n-grams, n)."""
    found = tables[0].tokens.astype(np.int64)[:, None]
    for table in tables[1:]:
        found = np.column_stack((np.repeat(found, np.diff(table.first), axis=0), table.tokens))
    return found


def read_arpa(file: Path, words: Sequence[str], boundary: int) -> list[Table]:
    """The tables of an ARPA file for the vocabulary `words`.

    Tokens that the file lacks have the probability of its `<unk>`; n-grams with words outside the vocabulary are left out.
    Raises UserError where the file is not what it should be.
    """
    ids = {word: token for token, word in enumerate(words)} | {START: boundary, END: boundary}
    if not file.is_file():
        raise UserError(f"{file}: no such file; an ARPA file is needed here")
    with file.open(encoding="utf-8", newline="\n") as stream:
        lines = enumerate(stream, start=1)
        sizes = _header(file, lines)
        tables: list[Table] = []
        for n, size in enumerate(sizes, start=1):
            tokens, values = _section(file, lines, n, size, ids)
            tables.append(_first_table(tokens, values, len(words)) if n == 1 else _table(file, tables, tokens, values))
        if not any(line.strip() == "\\end\\" for _, line in lines):
            raise UserError(f"{file}: ends before its \\end\\; it is not whole")
    tables[-1].backoff = np.empty(0, np.float32)
    return tables


def _header(file: Path, lines: Iterator[tuple[int, str]]) -> list[int]:
    """The number of n-grams of each length."""
    sizes: list[int] = []
    started = False
    for at, line in lines:
        text = line.strip()
        if not started:
            started = text == "\\data\\"
        elif text.startswith("ngram "):
            n, _, size = text.removeprefix("ngram ").partition("=")
            if n.strip() != str(len(sizes) + 1) or not size.strip().isdigit():
                raise UserError(f"{file}: line {at}: should be `ngram {len(sizes) + 1}=NUMBER`")
            sizes.append(int(size))
        elif sizes:
            return sizes
    raise UserError(f"{file}: has no \\data\\ section with numbers of n-grams; it is no ARPA file")


def _section(
    file: Path, lines: Iterator[tuple[int, str]], n: int, size: int, ids: dict[str, int]
) -> tuple[Ints, NDArray[np.float64]]:
    """The n-grams of one length in the order of the file: tokens (n-grams, n), and log10 of probability and weight."""
    tokens, values = np.empty((size, n), np.int64), np.zeros((size, 2))
    seen = known = 0
    for at, line in lines:
        if line.startswith("\\") and "\t" not in line:
            if line.strip() != f"\\{n}-grams:":
                raise UserError(f"{file}: line {at}: is {line.strip()!r}, but \\{n}-grams: comes here")
            break
    while seen < size:
        at, line = next(lines, (0, ""))
        fields = line.split()
        if len(fields) not in (n + 1, n + 2):
            raise UserError(
                f"{file}: line {at or 'last'}: should be a {n}-gram: log10 probability, {n} words, and a weight or none"
            )
        seen += 1
        row = [ids.get(word, -1) for word in fields[1 : n + 1]]
        if n == 1 and row[0] < 0 and fields[1] != UNKNOWN:
            continue
        if n == 1 or min(row) >= 0:
            tokens[known], values[known, 0] = row, float(fields[0])
            values[known, 1] = float(fields[n + 1]) if len(fields) == n + 2 else 0.0
            if n == 1 and fields[1] == END:
                values[known, 1] = np.nan  # of the boundary, the weight is that of <s> and the probability that of </s>
            if n == 1 and fields[1] == START:
                values[known, 0] = np.nan
            known += 1
    return tokens[:known], values[:known]


def _power(logarithms: NDArray[np.float64]) -> NDArray[np.float32]:
    """10 to the power of these, 0 where they say minus infinity by -99 or less."""
    return np.where(logarithms <= -99, 0.0, 10.0**logarithms).astype(np.float32)


def _first_table(tokens: Ints, values: NDArray[np.float64], vocab_size: int) -> Table:
    """The unigrams, of all tokens of the vocabulary."""
    unknown = values[tokens[:, 0] < 0, 0]
    logarithms = np.zeros((vocab_size, 2))
    logarithms[:, 0] = unknown[0] if len(unknown) else -99
    for column in (0, 1):
        given = (tokens[:, 0] >= 0) & ~np.isnan(values[:, column])
        logarithms[tokens[given, 0], column] = values[given, column]
    probability, weights = _power(logarithms[:, 0]), _power(logarithms[:, 1])
    return Table(np.array([0, vocab_size], np.uint32), np.arange(vocab_size, dtype=np.uint32), probability, weights)


def _table(file: Path, tables: list[Table], tokens: Ints, values: NDArray[np.float64]) -> Table:
    """The longer n-grams, sorted, below their contexts."""
    order = np.lexsort(tokens.T[::-1])
    tokens, values = tokens[order], values[order]
    contexts = tokens[:, 0]
    for table, column in zip(tables[1:], tokens.T[1:-1], strict=True):
        contexts = find(table, contexts, column)
    if len(contexts) and contexts.min() < 0:
        raise UserError(f"{file}: has {tokens.shape[1]}-grams whose first {tokens.shape[1] - 1} words are not listed")
    first = np.searchsorted(contexts, np.arange(len(tables[-1].tokens) + 1)).astype(np.uint32)
    return Table(first, tokens[:, -1].astype(np.uint32), _power(values[:, 0]), _power(values[:, 1]))
