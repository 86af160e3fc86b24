"""Token arrays: the documents of a split as one array of ids on disk, opened without being read.

{split}.npy          ids, uint16 or uint32; every document is followed by its end-of-text id
{split}.offsets.npy  int64, documents + 1: document i is ids[offsets[i]:offsets[i + 1]], its end-of-text id included
{split}.bytes.npy    int64, documents: the UTF-8 length of document i
{split}.spelled.npy  int64, documents: letters that spell what the unknown token hides; only where the tokenizer has one
words.npy            bool, vocabulary: whether a token begins a word

A parallel corpus has each of them twice: {split}.source.npy, {split}.target.npy, and so on; document i of one translates that of
the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from stages.lm.errors import UserError


def array_names(split: str) -> tuple[str, str, str]:
    """The files of a split: ids, offsets, bytes."""
    return f"{split}.npy", f"{split}.offsets.npy", f"{split}.bytes.npy"


def spelled_name(split: str) -> str:
    """The file of a split that only a tokenizer with an unknown token makes."""
    return f"{split}.spelled.npy"


WORDS = "words.npy"
"""Whether each token of the vocabulary begins a word: bool (vocab)."""


def read_word_starts(folder: Path) -> npt.NDArray[np.bool_]:
    """Whether each token begins a word. Raises UserError where the token artifact does not say."""
    try:
        return np.asarray(np.load(folder / WORDS, allow_pickle=False), np.bool_)
    except (FileNotFoundError, ValueError, EOFError) as error:
        raise UserError(f"{folder / WORDS}: cannot be read ({error}); run the stage tokenize again") from None


def id_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id below `vocab_size`."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


@dataclass(frozen=True)
class TokenArray:
    """The documents of one split as ids. `len` is the number of documents."""

    ids: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    document_bytes: npt.NDArray[np.int64]
    spelled: npt.NDArray[np.int64] | None = None
    """See `tokenizers/spelling.py`; None where nothing is ever unknown."""

    @classmethod
    def open(cls, folder: Path, split: str) -> Self:
        """Map the arrays of a split into memory. Raises UserError where they are missing or do not fit together."""
        try:
            names = [*array_names(split), *([spelled_name(split)] if (folder / spelled_name(split)).exists() else [])]
            arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in names]
        except FileNotFoundError as error:
            raise UserError(f"{error.filename}: no such file; the stage tokenize writes it") from None
        except (ValueError, EOFError) as error:
            raise UserError(
                f"{folder}: the arrays of split {split!r} are damaged ({error}); run the stage tokenize again"
            ) from None
        ids, offsets, lengths, spelled = [*arrays, None][:4]
        if ids.dtype not in (np.uint16, np.uint32) or len(offsets) != len(lengths) + 1 or offsets[-1] != len(ids):
            raise UserError(f"{folder}: the arrays of split {split!r} do not fit together; run the stage tokenize again")
        return cls(ids, offsets, lengths, spelled)

    @classmethod
    def of(cls, documents: Sequence[Sequence[int]], document_bytes: npt.NDArray[np.int64]) -> Self:
        """Documents in memory: the ids of each, and the bytes of their texts."""
        ids = np.array([index for document in documents for index in document], np.int64)
        return cls(ids, np.concatenate([[0], np.cumsum([len(document) for document in documents])]), document_bytes)

    def __len__(self) -> int:
        return len(self.document_bytes)

    def document(self, index: int) -> npt.NDArray[Any]:
        """The ids of one document, its end-of-text id included."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]


SIDES = ("source", "target")
"""The two sides of a parallel corpus, in the order of its columns of text."""


def side_name(split: str, side: str) -> str:
    """What the arrays of one side of a split are called in place of the split."""
    return f"{split}.{side}"


@dataclass(frozen=True)
class PairArray:
    """The sentence pairs of one split as ids. `len` is the number of pairs."""

    source: TokenArray
    target: TokenArray

    @classmethod
    def open(cls, folder: Path, split: str) -> Self:
        """Map both sides of a split into memory. Raises UserError where they are missing or do not fit together."""
        source, target = (TokenArray.open(folder, side_name(split, side)) for side in SIDES)
        if len(source) != len(target):
            raise UserError(f"{folder}: the two sides of split {split!r} do not fit together; run the stage tokenize again")
        return cls(source, target)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def ids(self) -> npt.NDArray[Any]:
        """What is to be predicted: the ids of the target side."""
        return self.target.ids


def open_split(folder: Path, split: str) -> TokenArray | PairArray:
    """A split, as pairs if the corpus is parallel. Raises UserError where its arrays are missing or do not fit together."""
    parallel = (folder / array_names(side_name(split, SIDES[0]))[0]).exists()
    return (PairArray if parallel else TokenArray).open(folder, split)


class ArrayWriter:
    """Writes a one-dimensional `.npy` file piece by piece; a context manager that completes the header at its end."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.length = 0
        self._file = path.open("wb")
        self._write_header()

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add values, which are converted to the file's type."""
        self._file.write(np.ascontiguousarray(values, self.dtype).data)
        self.length += len(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        """NumPy pads its header so that the length of the array may grow without moving the data."""
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, header)
