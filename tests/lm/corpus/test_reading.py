"""Documents from files: delimiters, opening lines, formats, compression, and the policies for bytes that are no text."""

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.corpus.reading import Size, read_documents, split_at
from stages.lm.corpus.settings import CorpusSettings, FileCorpus
from stages.lm.errors import UserError
from stages.lm.settings import parse


def read(file: Path, skipped: Size | None = None, **settings: Any) -> list[str]:
    parsed = parse(CorpusSettings, {"source": "file", "paths": [str(file)], **settings}, "c")
    assert isinstance(parsed, FileCorpus)
    return list(read_documents(file, parsed, skipped or Size()))


@given(data=st.binary(max_size=60).map(lambda raw: bytes(b"<|>x"[byte % 4] for byte in raw)), size=st.integers(1, 7))
def test_splitting_does_not_depend_on_blocks(data: bytes, size: int) -> None:
    delimiter = b"<|>"
    blocks = (data[start : start + size] for start in range(0, len(data), size))
    pieces = list(split_at(blocks, delimiter))
    expected = data.split(delimiter)
    assert [piece for _, piece in pieces] == (expected if expected[-1] else expected[:-1])
    assert all(data[offset : offset + len(piece)] == piece for offset, piece in pieces)


@pytest.mark.parametrize("pack", [None, "gz", "xz"])
def test_delimited_text_plain_or_packed(tmp_path: Path, pack: str | None) -> None:
    content = "erste Zeile\nÜber<|endoftext|>two<|endoftext|>\n".encode()
    file = tmp_path / f"a.txt{'.' + pack if pack else ''}"
    file.write_bytes({None: bytes, "gz": gzip.compress, "xz": lzma.compress}[pack](content))
    assert read(file) == ["erste Zeile\nÜber", "two", "\n"]
    assert read(file, delimiter=None) == [content.decode()]
    assert read(file, delimiter="\n") == ["erste Zeile", "Über<|endoftext|>two<|endoftext|>"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone")
    assert read(tmp_path / "a.txt") == ["one"]


def test_lines_that_open_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("preface\n = One = \n text\n = = Part = = \n more\n = Two = \n end\n")
    assert read(tmp_path / "a.txt", document_start="^ = [^=].* = $") == [
        "preface\n",
        " = One = \n text\n = = Part = = \n more\n",
        " = Two = \n end\n",
    ]


def test_wikitext_articles(shared_data: Path) -> None:
    documents = read(shared_data / "wikitext2" / "part1.txt", document_start="^ = [^=].* = $")
    assert "".join(documents) == (shared_data / "wikitext2" / "part1.txt").read_text()
    assert documents[1].startswith(" = Homarus gammarus = \n")
    assert documents[2].startswith(" = Frank <unk> = \n")


def test_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"body": "one\\ntwo", "n": 1}\n\n{"body": "drei"}\n'))
    assert read(file, text_key="body") == ["one\ntwo", "drei"]
    with pytest.raises(UserError, match=r"a.jsonl.gz: line 1 has no text under 'text' \(it has 'body', 'n'\); set text_key"):
        read(file)


def test_json_lines_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nplain text\n')
    with pytest.raises(UserError, match=r"line 2 is not JSON"):
        read(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text("[1]\n")
    with pytest.raises(UserError, match=r"line 1 has no text"):
        read(tmp_path / "b.jsonl")
    (tmp_path / "c.jsonl").write_text(json.dumps({"text": "lone \ud800 surrogate"}) + "\n")
    with pytest.raises(UserError, match=r"line 1, byte 5 of the text"):
        read(tmp_path / "c.jsonl")


def test_parquet_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["one", None, "drei"], "n": [1, 2, 3]}), file)
    assert read(file, text_column="body") == ["one", "", "drei"]
    with pytest.raises(UserError, match=r"no column 'text' \(it has body, n\); set text_column"):
        read(file)
    with pytest.raises(UserError, match=r"column 'n' holds int64"):
        read(file, text_column="n")
    file.write_bytes(b"PAR1 is not enough")
    with pytest.raises(UserError, match=r"a.parquet: cannot be read as a Parquet file"):
        read(file)


@pytest.mark.parametrize(("bad", "position"), [(b"caf\xe9", 3), (b"PK\x00\x04", 2)])
def test_bytes_that_are_no_text(tmp_path: Path, bad: bytes, position: int) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"good<|endoftext|>" + bad + b"<|endoftext|>end")
    with pytest.raises(UserError, match=rf"a.txt: .* at byte {17 + position};"):
        read(file)
    assert read(file, invalid_utf8="replace") == ["good", bad.replace(b"\0", b"\xff").decode(errors="replace"), "end"]
    skipped = Size()
    assert read(file, skipped, invalid_utf8="skip") == ["good", "end"]
    assert skipped == Size(1, len(bad))


@pytest.mark.parametrize("ending", ["gz", "xz"])
def test_damaged_archives(tmp_path: Path, ending: str) -> None:
    whole = {"gz": gzip.compress, "xz": lzma.compress}[ending](b"some text " * 1000)
    for number, content in enumerate((whole[:-9], b"no archive at all", whole[:20] + b"\x00\x55\xff\x13" + whole[24:])):
        file = tmp_path / f"{number}.txt.{ending}"
        file.write_bytes(content)
        with pytest.raises(UserError, match=rf"{number}.txt.{ending}: is not a whole .{ending} file"):
            read(file)
