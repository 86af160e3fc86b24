"""The compiled trainer against the plain one and the reference."""

from collections.abc import Mapping
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from stages.lm.bpe import reference, training
from stages.lm.bpe.chunks import COMPILED_BYTES, last_cut, read_chunks
from stages.lm.bpe.compiled import trainer
from stages.lm.bpe.compiled.training import LONGEST_WORD, learn_merges
from stages.lm.bpe.counting import count_batch
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.vocabulary import Merges, Vocabulary

EOT = "<|endoftext|>"
SPECIALS = [EOT, EOT + EOT, "a b"]
WORD = st.text("ab", max_size=12).map(str.encode) | st.binary(max_size=8) | st.integers(0, 40).map(lambda n: b"a" * n)


def learn(words: Mapping[bytes, int], vocab_size: int) -> tuple[Vocabulary, Merges]:
    text = np.frombuffer(b"".join(words) + b"\0", np.uint8)
    lengths = np.array([len(word) for word in words], np.int64)
    return learn_merges(text, np.cumsum(lengths) - lengths, lengths, np.array(list(words.values()), np.int64), vocab_size, [EOT])


@given(st.dictionaries(WORD, st.integers(1, 4), max_size=10), st.integers(257, 300))
@example({b"aaaaaaa": 1, b"aaaa": 2}, 264)
def test_merges_equal_to_the_reference(words: dict[bytes, int], vocab_size: int) -> None:
    assert learn(words, vocab_size) == reference.train(words, vocab_size, [EOT])


def test_counts_beyond_32_bits() -> None:
    assert learn({b"ab": 1 << 40, b"cd": (1 << 40) + 1}, 259)[1] == [(b"c", b"d"), (b"a", b"b")]


PARTS = st.sampled_from(
    [EOT, "<|", "a b", "the", " ", "aaaa", "\r\n", "é", "你好", "12", "!" * 20, " " * 30, "x" * 100, "x" * 99]
)


def counted(table: trainer.WordTable) -> dict[bytes, int]:
    text, offsets, lengths, counts = table.words()
    rows = zip(offsets.tolist(), lengths.tolist(), counts.tolist(), strict=True)
    return {text[offset : offset + length].tobytes(): number for offset, length, number in rows}


def plain(texts: list[str], pattern: str) -> dict[bytes, int]:
    counts = count_batch(texts, tuple(SPECIALS), pattern)
    return {word.encode("utf-8", "surrogateescape"): number for word, number in counts.items()}


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k"])
@given(texts=st.lists(st.lists(PARTS | st.text(), max_size=20).map("".join), max_size=5))
def test_counts_equal_to_the_plain_ones(pattern: str, texts: list[str]) -> None:
    data = [text.encode() for text in texts]
    documents = Documents(np.frombuffer(b"".join(data), np.uint8), np.cumsum([0, *map(len, data)]))
    batches = [documents, Documents.of_bytes(b"the end"), documents]
    assert counted(trainer.count(batches, SPECIALS, pattern, 2)) == plain([*texts, *texts, "the end"], pattern)


def test_tables_grow_and_add_up() -> None:
    """More words, longer words and more bytes than a table begins with."""
    text = (
        " ".join(f"w{i}" for i in range(40_000))
        + " "
        + "y" * 3_000_000
        + " "
        + " ".join(f"{i}longer-than-the-key" for i in range(9))
    )
    documents = Documents.of_bytes(text.encode())
    table = trainer.count([documents, documents, documents], [], "gpt2", 2)
    assert counted(table) == {word: 3 * number for word, number in plain([text], "gpt2").items()}


@given(st.lists(PARTS | st.text(max_size=4), max_size=40), st.integers(1, 60), st.integers(1, 60))
def test_files_are_cut_where_nothing_changes(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], chunk: int, tail: int
) -> None:
    path = tmp_path_factory.mktemp("chunks") / "text.txt"
    text = "".join(parts)
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.lm.bpe.chunks.CHUNK_BYTES", chunk)
        patch.setattr("stages.lm.bpe.chunks.TAIL", tail)
        chunks = list(read_chunks(path, SPECIALS))
    assert b"".join(chunks) == text.encode()
    assert plain([chunk.decode() for chunk in chunks], "gpt2") == plain([text], "gpt2")


def test_a_cut_never_parts_a_special_token() -> None:
    data = b"once upon a big a b a b"
    assert last_cut(data, [b"a b"]) == len(b"once upon a big a b")
    assert last_cut(data, [b"a b", b"b a"]) == len(b"once upon a big")
    assert last_cut(data, []) == len(data) - 2
    assert last_cut(b"aaaa", []) == 0


def test_large_files_take_the_compiled_way_to_the_same_result(tmp_path: Path) -> None:
    text = "".join(
        f"{i % 977} words of document {i % 1013}: naïve 你好世界,\n\n{EOT if i % 50 == 0 else ''}" for i in range(40_000)
    )
    file = tmp_path / "text.txt"
    file.write_text(text, newline="")
    assert file.stat().st_size > COMPILED_BYTES
    expected = training.learn_merges(plain([text], "gpt2"), 600, SPECIALS)
    assert training.train_bpe(file, 600, SPECIALS, workers=1) == expected
    assert training.train_bpe(file, 600, SPECIALS, workers=2) == expected
    batches = [Documents.of_bytes(document.encode()) for document in text.split(EOT)]
    small = training.train_documents(batches, 600, SPECIALS)
    large = training.train_documents([Documents.of_bytes(text.encode())], 600, SPECIALS)
    assert small == large == training.Trained(*expected, small.words, small.distinct_words)


def test_words_too_long_for_a_link(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("ab" * LONGEST_WORD + " and some words" * 80_000)
    expected = training.learn_merges(plain([file.read_text()], "gpt2"), 270, [EOT])
    assert training.train_bpe(file, 270, [EOT]) == expected
