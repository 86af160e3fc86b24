"""The document store of a corpus: Parquet shards by split, written and read in pieces of bounded size.

    {train,valid,test}-00000.parquet ...   columns id, text, source, and bits or target where the source knows them

A row group holds about 4 MiB of text and a shard about 256 MiB, so that readers can share the work and none holds more than
one row group in memory. Equal documents in equal order give equal bytes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

SPLITS = ("train", "valid", "test")

ROW_GROUP_BYTES = 4 << 20
SHARD_BYTES = 256 << 20


TEXT_COLUMNS = ("text", "target")
"""Columns of text: that of every document, and its translation in a parallel corpus."""


def schema(with_bits: bool = False, with_target: bool = False) -> pa.Schema:
    """The columns of a shard: the hash of the text in hex, the text, its source, its surprisal in bits, its translation."""
    fields = [("id", pa.string()), ("text", pa.large_string()), ("source", pa.string())]
    fields += [("bits", pa.float64())] if with_bits else []
    return pa.schema([*fields, ("target", pa.large_string())] if with_target else fields)


def text_columns(folder: Path) -> tuple[str, ...]:
    """The columns of text of a corpus: `text`, and `target` if it is parallel."""
    written = [shard for split in SPLITS for shard in shards(folder, split)]
    names = pq.read_schema(written[0]).names if written else ["text"]
    return tuple(name for name in TEXT_COLUMNS if name in names)


def shards(folder: Path, split: str) -> list[Path]:
    """The shards of a split, in order; none where the split is empty."""
    return sorted(folder.glob(f"{split}-[0-9]*.parquet"))


def batches(folder: Path, split: str, columns: Sequence[str] = ("text",)) -> Iterator[pa.RecordBatch]:
    """The documents of a split in stable order, as record batches within one row group each."""
    for shard in shards(folder, split):
        with pq.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=list(columns), use_threads=False).to_batches()


def documents(folder: Path, split: str, column: str = "text") -> Iterator[str]:
    """The texts of a split in stable order, or their translations in the column `target`."""
    for batch in batches(folder, split, (column,)):
        for text in batch.column(0):
            yield text.as_py()


class SplitWriter:
    """Writes one split, batch by batch; a context manager that finishes the last shard."""

    def __init__(self, folder: Path, split: str, columns: pa.Schema) -> None:
        self.folder, self.split, self.columns = folder, split, columns
        self.pending: list[pa.RecordBatch] = []
        self.pending_bytes = self.shard_bytes = self.shard_count = 0
        self.shard: pq.ParquetWriter | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the documents of a batch (columns as in the schema)."""
        if batch.num_rows == 0:
            return
        self.pending.append(batch)
        self.pending_bytes += batch.nbytes
        if self.pending_bytes >= ROW_GROUP_BYTES:
            self._write_row_group()
        if self.shard_bytes >= SHARD_BYTES:
            self._close_shard()

    def close(self) -> None:
        """Write what is pending and finish the shard."""
        self._write_row_group()
        self._close_shard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write_row_group(self) -> None:
        if not self.pending:
            return
        table = pa.Table.from_batches(self.pending, self.columns).combine_chunks()
        if self.shard is None:
            path = self.folder / f"{self.split}-{self.shard_count:05d}.parquet"
            self.shard = pq.ParquetWriter(path, self.columns, **_parquet_options())
        self.shard.write_table(table, row_group_size=table.num_rows)
        self.shard_bytes += self.pending_bytes
        self.pending, self.pending_bytes = [], 0

    def _close_shard(self) -> None:
        if self.shard is not None:
            self.shard.close()
            self.shard, self.shard_bytes = None, 0
            self.shard_count += 1


def _parquet_options() -> dict[str, Any]:
    return {"compression": "zstd", "compression_level": 3, "use_dictionary": ["source"], "write_statistics": False}
