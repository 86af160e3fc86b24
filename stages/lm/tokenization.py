"""Encode texts into token arrays: in parallel, in constant memory, and checked.

Large inputs go through the compiled encoder in threads, small ones through the plain one, so that nobody waits for a compiler to
encode a page; the ids are the same.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.lm.bpe.chunks import COMPILED_BYTES, read_chunks, read_text
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.files import save_tokenizer
from stages.lm.bpe.interface import TextTokenizer
from stages.lm.bpe.parallel import ordered_map
from stages.lm.bpe.pretokenization import stream_pieces
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.errors import UserError
from stages.lm.progress import progress
from stages.lm.settings import Settings
from stages.lm.tokenizers.files import read_tokenizer
from stages.lm.tokenizers.spelling import Spelling
from stages.lm.tokens import ArrayWriter, array_names, id_dtype, spelled_name


class TokenizeSettings(Settings):
    """How the documents of a corpus become arrays of ids."""

    verify_every: int = Field(default=100, gt=0)
    """One document of so many is decoded again and compared with its text."""


@dataclass(frozen=True)
class EncodedBatch:
    """The ids of some documents one after the other, how many each has, and the UTF-8 length of each; where the tokenizer has an
    unknown token, also how many letters spell what it hides in each."""

    ids: npt.NDArray[Any]
    tokens: npt.NDArray[np.int64]
    document_bytes: npt.NDArray[np.int64]
    spelled: npt.NDArray[np.int64] | None = None


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
    become their ids. Returns the number of tokens (end-of-text ids included), documents and UTF-8 bytes, the bytes per token of
    the text alone, and how many tokens are unknown and how many letters spell them (None without an unknown token).
    Raises UserError where a document without an unknown token does not survive the round trip through the tokenizer.
    """
    tokenizer = read_tokenizer(tokenizer_folder)
    stream = iter(batches)
    first = next(stream, None)
    large = first is not None and first.size >= COMPILED_BYTES
    encode, threads = _encoder(tokenizer, tokenizer_folder, settings.verify_every, large)
    total_bytes = unknown = 0
    spelled = [np.zeros(0, np.int64)]
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
            if batch.spelled is not None:
                spelled.append(batch.spelled)
                unknown += int(np.count_nonzero(batch.ids == tokenizer.unknown))
            batch_bytes = int(batch.document_bytes.sum())
            total_bytes += batch_bytes
            bar.update(batch_bytes)
    text_tokens = ids.length - lengths.length
    lossy = tokenizer.unknown is not None
    if lossy:
        np.save(folder / spelled_name(split), np.concatenate(spelled))
    return {
        "tokens": ids.length,
        "documents": lengths.length,
        "bytes": total_bytes,
        "bytes_per_token": total_bytes / text_tokens if text_tokens else None,
        "unknown": unknown if lossy else None,
        "spelled": int(np.concatenate(spelled).sum()) if lossy else None,
    }


def write_file(file: Path, out: Path, tokenizer: Tokenizer, workers: int | None = None) -> int:
    """Encode a text file, its special tokens included, into one `.npy` array of ids; returns their number.

    The file is read in chunks: in threads for large files and the named patterns, in processes for other patterns. The ids are
    those of `tokenizer.encode_bytes` of the whole, and do not depend on `workers`. Raises UserError where there is no such file.
    """
    with ArrayWriter(out, id_dtype(tokenizer.vocab_size)) as ids:
        for encoded in _file_ids(file, tokenizer, workers):
            ids.append(encoded)
    return ids.length


def _file_ids(file: Path, tokenizer: Tokenizer, workers: int | None) -> Iterator[npt.NDArray[Any]]:
    """The ids of a file, piece by piece."""
    specials = list(tokenizer.special_tokens)
    large = file.is_file() and file.stat().st_size >= COMPILED_BYTES
    if large:
        from stages.lm.bpe.compiled.encoder import Encoder, can_encode

        if can_encode(tokenizer):
            yield from ordered_map(Encoder(tokenizer, specials).encode_one, read_chunks(file, specials), workers, threads=True)
            return
    pieces = stream_pieces(read_text(file), specials, tokenizer.pattern)
    if not large or workers == 1:
        yield from (np.array(tokenizer.encode(piece), np.int64) for piece in pieces)
        return
    with TemporaryDirectory() as folder:
        save_tokenizer(Path(folder), tokenizer)
        yield from ordered_map(partial(_encode_piece, tokenizer_folder=Path(folder)), pieces, workers)


def _encode_piece(text: str, tokenizer_folder: Path) -> npt.NDArray[Any]:
    return np.array(_tokenizer(tokenizer_folder).encode(text), np.int64)


def _encoder(
    tokenizer: TextTokenizer, tokenizer_folder: Path, verify_every: int, large: bool
) -> tuple[Callable[[Documents], EncodedBatch], bool]:
    """The function that encodes a batch, and whether it runs in threads (compiled code) or in processes (Python)."""
    if large and isinstance(tokenizer, Tokenizer):
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
    lengths = np.diff(documents.offsets)
    spelled = None if tokenizer.unknown is None else Spelling(tokenizer).letters(ids, tokens, lengths)
    return _checked(documents, EncodedBatch(ids, tokens, lengths, spelled), tokenizer, verify_every)


# One tokenizer for each process, with the words that it has met before.
_tokenizer = cache(read_tokenizer)


def _markup(tokenizer: TextTokenizer) -> list[str]:
    """The special tokens that a document's text may contain: all but the one that ends it."""
    return [token for token, index in tokenizer.special_tokens.items() if index != tokenizer.end_of_text]


def _checked(documents: Documents, batch: EncodedBatch, tokenizer: TextTokenizer, every: int) -> EncodedBatch:
    """The batch, if its ids lie in the vocabulary and every so many documents decode to their text, those with an unknown token
    left out."""
    if len(batch.ids) and int(batch.ids.max()) >= tokenizer.vocab_size:
        raise UserError(f"tokenizer: gives ids beyond its {tokenizer.vocab_size} tokens; train it again")
    ends = np.cumsum(batch.tokens)
    for i in range(0, len(documents), every):
        if batch.spelled is not None and batch.spelled[i]:
            continue
        text = documents.text(i)
        if tokenizer.decode(batch.ids[ends[i] - batch.tokens[i] : ends[i] - 1].tolist()) != text:
            raise UserError(f"tokenizer: does not give back the text of the document that begins {text[:40]!r}; it is lossy")
    return batch
