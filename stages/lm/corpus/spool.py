"""Documents on their way through the two passes of `build`: an Arrow stream on disk, written and read batch by batch."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from stages.lm.corpus import store

BATCH_BYTES = 1 << 20
BATCH_DOCUMENTS = 8192


class SpoolWriter:
    """Writes cleaned documents with the index of their split, to be read back by `read_spool`."""

    def __init__(self, file: Path, columns: pa.Schema) -> None:
        self.columns = columns.append(pa.field("split", pa.uint8()))
        self.writer = pa.ipc.new_stream(str(file), self.columns, options=pa.ipc.IpcWriteOptions(compression="lz4"))
        self.rows: list[tuple[str | bytes | float | int, ...]] = []
        self.bytes = 0

    def write(self, row: tuple[str | bytes | float | int, ...]) -> None:
        """Add one document: the values of the columns and its split; texts in UTF-8."""
        self.rows.append(row)
        self.bytes += sum(len(value) for value in row if isinstance(value, bytes))
        if self.bytes >= BATCH_BYTES or len(self.rows) == BATCH_DOCUMENTS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self.writer.close()

    def _flush(self) -> None:
        if self.rows:
            values = zip(*self.rows, strict=True)
            arrays = [
                pa.array(column, pa.large_binary()).cast(field.type)
                if field.name in store.TEXT_COLUMNS
                else pa.array(column, field.type)
                for column, field in zip(values, self.columns, strict=True)
            ]
            self.writer.write_batch(pa.record_batch(arrays, schema=self.columns))
        self.rows, self.bytes = [], 0


def read_spool(file: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a spool in the order of writing: the store's columns and then `split`."""
    with pa.OSFile(str(file)) as stream, pa.ipc.open_stream(stream) as reader:
        yield from reader
