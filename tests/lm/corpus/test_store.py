"""The Parquet store: what goes in comes out, in shards and row groups of bounded size."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.lm.corpus import store


def write(folder: Path, texts: list[str], rows: int = 7) -> None:
    columns = store.schema(False)
    with store.SplitWriter(folder, "train", columns) as writer:
        for start in range(0, len(texts), rows):
            part = texts[start : start + rows]
            writer.write(
                pa.record_batch([["00"] * len(part), pa.array(part, pa.large_string()), ["s"] * len(part)], schema=columns)
            )


def test_documents_come_back_in_order_from_bounded_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROW_GROUP_BYTES", 2_000)
    monkeypatch.setattr(store, "SHARD_BYTES", 10_000)
    texts = [f"document {index} ü " * (index % 5) for index in range(1000)]
    write(tmp_path, texts)
    assert list(store.documents(tmp_path, "train")) == texts
    shards = store.shards(tmp_path, "train")
    assert [shard.name for shard in shards[:2]] == ["train-00000.parquet", "train-00001.parquet"]
    assert len(shards) > 3
    files = [pq.ParquetFile(shard) for shard in shards]
    assert all(file.num_row_groups > 3 for file in files[:-1])
    assert max(batch.nbytes for batch in store.batches(tmp_path, "train", ("id", "text"))) < 4_000
    assert list(store.documents(tmp_path, "valid")) == []
    assert store.shards(tmp_path, "valid") == []


def test_equal_documents_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, [f"text {index}" for index in range(500)])
    assert (tmp_path / "a/train-00000.parquet").read_bytes() == (tmp_path / "b/train-00000.parquet").read_bytes()
