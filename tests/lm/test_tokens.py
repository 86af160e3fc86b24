"""Token arrays: NumPy's own files, opened without being read, and refused where they do not fit."""

from pathlib import Path

import numpy as np
import pytest

from stages.lm.errors import UserError
from stages.lm.tokens import ArrayWriter, TokenArray, id_dtype


@pytest.mark.parametrize("sizes", [[], [0], [3, 0, 5], [100_000] * 12])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_the_writer_writes_what_numpy_writes(tmp_path: Path, sizes: list[int], dtype: type[np.generic]) -> None:
    pieces = [np.arange(size, dtype=np.int64) % 60_000 for size in sizes]
    with ArrayWriter(tmp_path / "written.npy", dtype) as writer:
        for piece in pieces:
            writer.append(piece)
    np.save(tmp_path / "expected.npy", np.concatenate([np.zeros(0, np.int64), *pieces]).astype(dtype))
    assert (tmp_path / "written.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


def write(folder: Path, ids: list[int], offsets: list[int], lengths: list[int], dtype: type[np.generic] = np.uint16) -> None:
    np.save(folder / "train.npy", np.array(ids, dtype))
    np.save(folder / "train.offsets.npy", np.array(offsets, np.int64))
    np.save(folder / "train.bytes.npy", np.array(lengths, np.int64))


def test_documents(tmp_path: Path) -> None:
    write(tmp_path, [5, 6, 0, 0, 7, 0], [0, 3, 4, 6], [9, 0, 2])
    array = TokenArray.open(tmp_path, "train")
    assert [array.document(index).tolist() for index in range(len(array))] == [[5, 6, 0], [0], [7, 0]]
    assert isinstance(array.ids, np.memmap)


def test_an_empty_split(tmp_path: Path) -> None:
    write(tmp_path, [], [0], [])
    assert len(TokenArray.open(tmp_path, "train")) == 0


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.npy: no such file"):
        TokenArray.open(tmp_path, "train")
    write(tmp_path, [5, 6, 0], [0, 3], [9], np.int32)
    with pytest.raises(UserError, match="do not fit together"):
        TokenArray.open(tmp_path, "train")
    write(tmp_path, [5, 6, 0], [0, 4], [9])
    with pytest.raises(UserError, match="do not fit together"):
        TokenArray.open(tmp_path, "train")
    write(tmp_path, [5, 6, 0], [0, 3], [9])
    (tmp_path / "train.npy").write_bytes((tmp_path / "train.npy").read_bytes()[:-1])
    with pytest.raises(UserError, match="are damaged"):
        TokenArray.open(tmp_path, "train")


def test_the_type_of_ids_follows_the_vocabulary() -> None:
    assert id_dtype(65_536) == np.uint16  # the greatest id is 65,535
    assert id_dtype(65_537) == np.uint32
