"""Sentence pairs from two text files, in which line n of one translates line n of the other."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from stages.lm.corpus.reading import opened
from stages.lm.errors import UserError


def read_pairs(source: Path, target: Path) -> Iterator[tuple[str, str]]:
    """The lines of both files side by side, without their ends; either may be packed as .gz or .xz.

    Raises UserError naming the file where one has more lines than the other, or a line is not UTF-8 or holds a NUL byte.
    """
    pairs = zip_longest(_lines(source), _lines(target))
    for number, (sentence, translation) in enumerate(pairs):
        if sentence is None or translation is None:
            short, long = (source, target) if sentence is None else (target, source)
            more = number + 1 + sum(1 for _ in pairs)
            raise UserError(
                f"{short}: has {number:,} lines, but {long} has {more:,}; line n of one must translate line n of the other: "
                "give two files of the same number of lines"
            )
        yield sentence, translation


def _lines(file: Path) -> Iterator[str]:
    with opened(file) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise UserError(f"{file}: line {number} is not UTF-8 ({error.reason}); convert the file") from None
            if "\0" in text:
                raise UserError(f"{file}: line {number} holds a NUL byte; sentences are text: mend the file")
            yield text
