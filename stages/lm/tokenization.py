"""Encode texts into token arrays: in parallel, in constant memory, and checked.

Large inputs go through the compiled encoder in threads, small ones through the plain one, so that nobody waits for a compiler to
encode a page; the ids are the same.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.lm.bpe.chunks import COMPILED_BYTES, read_chunks
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.files import load_tokenizer
from stages.lm.bpe.parallel import ordered_map
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.errors import UserError
from stages.lm.progress import progress
from stages.lm.settings import Settings
from stages.lm.tokens import ArrayWriter, array_names, id_dtype


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
    batches: Iterable[Documents],
    folder: Path,
    split: str,
    tokenizer_folder: Path,
    settings: TokenizeSettings,
    workers: int | None = None,
) -> dict[str, int | float | None]:
    """Encode documents into the arrays of `split` below `folder`. The bytes written do not depend on `workers`.

    Where a document's own text spells the end-of-text token, that stays text: only documents end. Other special tokens in it
    become their ids. Returns the number of tokens (end-of-text ids included), documents and UTF-8 bytes, and the bytes per token
    of the text alone. Raises UserError where a document does not survive the round trip through the tokenizer.
    """
    tokenizer = load_tokenizer(tokenizer_folder)
    stream = iter(batches)
    first = next(stream, None)
    large = first is not None and first.size >= COMPILED_BYTES
    encode, threads = _encoder(tokenizer, tokenizer_folder, settings.verify_every, large)
    total_bytes = 0
    ids_file, offsets_file, bytes_file = (folder / name for name in array_names(split))
    with (
        ArrayWriter(ids_file, id_dtype(tokenizer.vocab_size)) as ids,
        ArrayWriter(offsets_file, np.int64) as offsets,
        ArrayWriter(bytes_file, np.int64) as lengths,
        progress(f"tokenize {split}", None, "B") as bar,
    ):
        offsets.append(np.zeros(1, np.int64))
        everything = chain([first] if first else [], stream)
        for batch in ordered_map(encode, everything, workers if large else 1, threads):
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


def write_file(file: Path, out: Path, tokenizer: Tokenizer, workers: int | None = None) -> int:
    """Encode a text file, its special tokens included, into one `.npy` array of ids; returns their number.

    With a pattern that has no compiled twin, raises UserError.
    """
    from stages.lm.bpe.compiled.encoder import Encoder, can_encode

    if not can_encode(tokenizer):
        raise UserError(f"pattern {tokenizer.pattern!r}: files are encoded with one of the named patterns; see encode_iterable")
    encoder = Encoder(tokenizer, tokenizer.special_tokens)

    def encode(chunk: bytes) -> npt.NDArray[Any]:
        return encoder.encode(chunk, np.array([0, len(chunk)]))[0]

    with ArrayWriter(out, id_dtype(tokenizer.vocab_size)) as ids:
        for encoded in ordered_map(encode, read_chunks(file, list(tokenizer.special_tokens)), workers, threads=True):
            ids.append(encoded)
    return ids.length


def _encoder(
    tokenizer: Tokenizer, tokenizer_folder: Path, verify_every: int, large: bool
) -> tuple[Callable[[Documents], EncodedBatch], bool]:
    """The function that encodes a batch, and whether it runs in threads (compiled code) or in processes (Python)."""
    if large:
        from stages.lm.bpe.compiled.encoder import Encoder, can_encode

        if can_encode(tokenizer):
            encoder = Encoder(tokenizer, _markup(tokenizer))
            return partial(_encode_compiled, encoder=encoder, tokenizer=tokenizer, verify_every=verify_every), True
    return partial(_encode_plain, tokenizer_folder=tokenizer_folder, verify_every=verify_every), False


def _encode_compiled(documents: Documents, encoder: Any, tokenizer: Tokenizer, verify_every: int) -> EncodedBatch:
    ids, tokens = encoder.encode(documents.data, documents.offsets, tokenizer.end_of_text)
    return _checked(documents, EncodedBatch(ids, tokens, np.diff(documents.offsets)), tokenizer, verify_every)


def _encode_plain(documents: Documents, tokenizer_folder: Path, verify_every: int) -> EncodedBatch:
    tokenizer = _tokenizer(tokenizer_folder)
    encoded = tokenizer.encode_batch(documents.texts(), _markup(tokenizer))
    for document_ids in encoded:
        document_ids.append(tokenizer.end_of_text)
    ids = np.fromiter(chain.from_iterable(encoded), np.int64)
    tokens = np.array([len(document_ids) for document_ids in encoded], np.int64)
    return _checked(documents, EncodedBatch(ids, tokens, np.diff(documents.offsets)), tokenizer, verify_every)


# One tokenizer for each process, with the words that it has met before.
_tokenizer = cache(load_tokenizer)


def _markup(tokenizer: Tokenizer) -> list[str]:
    """The special tokens that a document's text may contain: all but the one that ends it."""
    return [token for token, index in tokenizer.special_tokens.items() if index != tokenizer.end_of_text]


def _checked(documents: Documents, batch: EncodedBatch, tokenizer: Tokenizer, every: int) -> EncodedBatch:
    """The batch, if its ids lie in the vocabulary and every so many documents decode to their text."""
    if len(batch.ids) and int(batch.ids.max()) >= tokenizer.vocab_size:
        raise UserError(f"tokenizer: gives ids beyond its {tokenizer.vocab_size} tokens; train it again")
    ends = np.cumsum(batch.tokens)
    for i in range(0, len(documents), every):
        text = documents.text(i)
        if tokenizer.decode(batch.ids[ends[i] - batch.tokens[i] : ends[i] - 1].tolist()) != text:
            raise UserError(f"tokenizer: does not give back the text of the document that begins {text[:40]!r}; it is lossy")
    return batch
