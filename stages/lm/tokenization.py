"""Encode the documents of a split into token arrays: in parallel, in constant memory, and checked."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.lm.bpe.files import load_tokenizer
from stages.lm.bpe.parallel import ordered_map
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.errors import UserError
from stages.lm.progress import progress
from stages.lm.settings import Settings
from stages.lm.tokens import ArrayWriter, array_names, id_dtype

BATCH_CHARACTERS = 1 << 20
"""Documents are encoded in batches of this size; a split that is smaller is encoded without starting processes."""


class TokenizeSettings(Settings):
    """How the documents of a corpus become arrays of ids."""

    verify_every: int = Field(default=100, gt=0)
    """One document of so many is decoded again and compared with its text."""


@dataclass(frozen=True)
class EncodedBatch:
    """The ids of some documents one after the other, how many each has, and the UTF-8 length of each."""

    ids: npt.NDArray[Any]
    tokens: npt.NDArray[np.int64]
    document_bytes: npt.NDArray[np.int64]


def write_split(
    documents: Iterable[str],
    folder: Path,
    split: str,
    tokenizer_folder: Path,
    settings: TokenizeSettings,
    processes: int | None = None,
) -> dict[str, int | float | None]:
    """Encode `documents` into the arrays of `split` below `folder`. The bytes written do not depend on `processes`.

    Returns the number of tokens (end-of-text ids included), documents and UTF-8 bytes, and the bytes per token of the text alone.
    Raises UserError where a document does not survive the round trip through the tokenizer.
    """
    dtype = id_dtype(load_tokenizer(tokenizer_folder).vocab_size)
    encode = partial(encode_batch, tokenizer_folder=tokenizer_folder, verify_every=settings.verify_every)
    batches = _batches(documents)
    first = next(batches, [])
    if sum(map(len, first)) < BATCH_CHARACTERS:
        processes = 1
    total_bytes = 0
    ids_file, offsets_file, bytes_file = (folder / name for name in array_names(split))
    with (
        ArrayWriter(ids_file, dtype) as ids,
        ArrayWriter(offsets_file, np.int64) as offsets,
        ArrayWriter(bytes_file, np.int64) as lengths,
        progress(f"tokenize {split}", None, "B") as bar,
    ):
        offsets.append(np.zeros(1, np.int64))
        for batch in ordered_map(encode, chain([first], batches), processes):
            offsets.append(ids.length + np.cumsum(batch.tokens))
            ids.append(batch.ids)
            lengths.append(batch.document_bytes)
            batch_bytes = int(batch.document_bytes.sum())
            total_bytes += batch_bytes
            bar.update(batch_bytes)
    text_tokens = ids.length - lengths.length
    return {
        "tokens": ids.length,
        "documents": lengths.length,
        "bytes": total_bytes,
        "bytes_per_token": total_bytes / text_tokens if text_tokens else None,
    }


def encode_batch(documents: list[str], tokenizer_folder: Path, verify_every: int) -> EncodedBatch:
    """Encode documents, each with its end-of-text id, and check ids and round trip.

    Where a document's own text spells the end-of-text token, that stays text: only documents end. Other special tokens in it
    become their ids.
    """
    tokenizer = _tokenizer(tokenizer_folder)
    allowed = [token for token, index in tokenizer.special_tokens.items() if index != tokenizer.end_of_text]
    encoded = tokenizer.encode_batch(documents, allowed)
    for document, document_ids in list(zip(documents, encoded, strict=True))[::verify_every]:
        _check(tokenizer, document, document_ids)
    for document_ids in encoded:
        document_ids.append(tokenizer.end_of_text)
    ids = np.fromiter(chain.from_iterable(encoded), np.int64)
    if len(ids) and ids.max() >= tokenizer.vocab_size:
        raise UserError(f"{tokenizer_folder}: gives ids beyond its {tokenizer.vocab_size} tokens; train the tokenizer again")
    return EncodedBatch(
        ids.astype(id_dtype(tokenizer.vocab_size)),
        np.array([len(document_ids) for document_ids in encoded], np.int64),
        np.array([len(document.encode()) for document in documents], np.int64),
    )


def _check(tokenizer: Tokenizer, document: str, ids: list[int]) -> None:
    if tokenizer.decode(ids) != document:
        raise UserError(f"tokenizer: does not give back the text of the document that begins {document[:40]!r}; it is lossy")


# One tokenizer for each process, with the words that it has met before.
_tokenizer = cache(load_tokenizer)


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
