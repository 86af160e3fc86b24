"""Documents from local files: text by delimiter or by opening lines, .jsonl by line, .parquet by row; .gz and .xz unpacked.

Files are read as bytes and cut before decoding, in memory that holds one document and one block. A document that is not
UTF-8, or holds NUL bytes as binary files do, meets the policy of `invalid_utf8`.
"""

import gzip
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from stages.lm.corpus.settings import TextCorpus
from stages.lm.errors import UserError

BLOCK = 1 << 20


@dataclass
class Size:
    """A number of documents and their UTF-8 bytes."""

    documents: int = 0
    bytes: int = 0

    def add(self, length: int) -> None:
        self.documents += 1
        self.bytes += length


def read_documents(file: Path, settings: TextCorpus, skipped: Size) -> Iterator[str]:
    """The documents of a file in order; what the policy leaves out is counted in `skipped`.

    Raises UserError naming the file, and the byte offset in its unpacked content where that helps, if it cannot be read.
    """
    ending = file.name.removesuffix(".gz").removesuffix(".xz")
    pieces: Iterator[tuple[str | int, bytes]]
    if ending.endswith(".parquet"):
        pieces = _rows(file, settings.text_column)
    elif ending.endswith(".jsonl"):
        pieces = _json_lines(file, settings, skipped)
    elif settings.document_start is not None:
        pieces = _opened_by_lines(file, re.compile(settings.document_start))
    else:
        pieces = _delimited(file, settings.delimiter)
    for where, raw in pieces:
        text = _decode(file, where, raw, settings.invalid_utf8, skipped)
        if text is not None:
            yield text


def split_at(blocks: Iterator[bytes], delimiter: bytes) -> Iterator[tuple[int, bytes]]:
    """The pieces between exact occurrences of `delimiter`, which may lie across blocks, each with its byte offset.

    A delimiter at the very end ends the last piece, it does not open an empty one.
    """
    buffer = bytearray()
    offset = searched = 0
    for block in blocks:
        buffer += block
        begin = 0
        while (end := buffer.find(delimiter, max(begin, searched))) >= 0:
            yield offset + begin, bytes(buffer[begin:end])
            begin = searched = end + len(delimiter)
        searched = max(begin, len(buffer) - len(delimiter) + 1) - begin
        del buffer[:begin]
        offset += begin
    if buffer:
        yield offset, bytes(buffer)


def _decode(file: Path, where: str | int, raw: bytes, policy: str, skipped: Size) -> str | None:
    """The text of a document, None where it is left out. An int `where` is the document's byte offset in the file."""
    try:
        text = raw.decode()
        fault, position = "a NUL byte", raw.find(0)
    except UnicodeDecodeError as error:
        text = raw.decode(errors="replace") if policy == "replace" else ""
        fault, position = "a byte that is not UTF-8", error.start
    if position < 0:
        return text
    if policy == "replace":
        return text.replace("\0", "\ufffd")
    if policy == "skip":
        skipped.add(len(raw))
        return None
    place = f"byte {where + position}" if isinstance(where, int) else f"{where}, byte {position} of the text"
    raise UserError(
        f"{file}: {fault} at {place}; a corpus is UTF-8 text: convert the file, or set invalid_utf8 to 'replace' or 'skip'"
    )


def _delimited(file: Path, delimiter: str | None) -> Iterator[tuple[str | int, bytes]]:
    with opened(file) as stream:
        if delimiter is None:
            yield 0, stream.read()
        else:
            yield from split_at(iter(lambda: stream.read(BLOCK), b""), delimiter.encode())


def _opened_by_lines(file: Path, opening: re.Pattern[str]) -> Iterator[tuple[str | int, bytes]]:
    document, offset, position = bytearray(), 0, 0
    with opened(file) as stream:
        for line in stream:
            if position > 0 and opening.search(line.decode(errors="replace").rstrip("\r\n")):
                yield offset, bytes(document)
                document, offset = bytearray(), position
            document += line
            position += len(line)
    yield offset, bytes(document)


def _json_lines(file: Path, settings: TextCorpus, skipped: Size) -> Iterator[tuple[str | int, bytes]]:
    key = settings.text_key
    with opened(file) as stream:
        for number, line in enumerate(stream, start=1):
            where = f"line {number}"
            plain = _decode(file, where, line.strip(), settings.invalid_utf8, skipped)
            if not plain:
                continue
            try:
                record = json.loads(plain)
            except ValueError as error:
                raise UserError(f"{file}: {where} is not JSON ({error}); a .jsonl file has one JSON object a line") from None
            text = record.get(key) if isinstance(record, dict) else None
            if not isinstance(text, str):
                present = ", ".join(map(repr, record)) if isinstance(record, dict) else f"no object but {type(record).__name__}"
                raise UserError(f"{file}: {where} has no text under {key!r} (it has {present}); set text_key to the right key")
            yield where, text.encode(errors="surrogatepass")


def _rows(file: Path, column: str) -> Iterator[tuple[str | int, bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
        if column not in names:
            raise UserError(f"{file}: has no column {column!r} (it has {', '.join(names)}); set text_column to the right one")
        kind = table.schema_arrow.field(column).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise UserError(f"{file}: column {column!r} holds {kind}, not strings; set text_column to a column of text")
        row = 0
        for batch in table.iter_batches(batch_size=1024, columns=[column], use_threads=False):
            for value in batch.column(0).cast(pa.large_binary()).to_pylist():
                row += 1
                yield f"row {row}", value or b""
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{file}: cannot be read as a Parquet file ({error}); check that it is whole") from None


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """A stream of the file's content, unpacked, without a byte order mark."""
    unpack: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
    try:
        with cast(BinaryIO, unpack.get(file.suffix, open)(file, "rb")) as stream:
            if stream.read(3) != b"\xef\xbb\xbf":
                stream.seek(0)
            yield stream
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise UserError(f"{file}: is not a whole {file.suffix} file ({error}); pack or download it again") from None
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; check the paths in the corpus settings") from None
