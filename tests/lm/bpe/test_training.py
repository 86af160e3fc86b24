"""Training: merges worked by hand in the course, and the fast trainer against the naive one."""

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from stages.lm.bpe import reference, train_bpe
from stages.lm.bpe.counting import count_documents, count_file
from stages.lm.bpe.training import learn_merges
from stages.lm.errors import UserError

EOT = "<|endoftext|>"
TOY = {b"low": 5, b"lower": 2, b"widest": 3, b"newest": 6}
TOY_MERGES = "s t, e st, o w, l ow, w est, n e, ne west, w i, wi d, wid est, low e, lowe r"


@pytest.mark.parametrize("train", [reference.train, learn_merges])
def test_the_assignments_toy_corpus(train: type(learn_merges)) -> None:
    vocab, merges = train(TOY, 256 + 1 + 12, [EOT])
    assert merges == [tuple(part.encode() for part in pair.split(" ")) for pair in TOY_MERGES.split(", ")]
    assert list(vocab) == list(range(269))
    assert (vocab[0], vocab[255], vocab[256], vocab[257], vocab[268]) == (b"\x00", b"\xff", EOT.encode(), b"st", b"lower")
    assert reference.encode_word(b"newest", merges[:6]) == [b"ne", b"west"]


@pytest.mark.parametrize("train", [reference.train, learn_merges])
def test_ties_go_to_the_greater_pair_of_byte_strings(train: type(learn_merges)) -> None:
    # The assignment's example: of ("A","B"), ("A","C"), ("B","ZZ") and ("BA","A") the last one is the greatest.
    assert train({b"AB": 1, b"AC": 1}, 258, [EOT])[1] == [(b"A", b"C")]
    # "a" is less than "ab", although the id of "ab" and its length say nothing about that.
    assert train({b"ab": 2, b"abx": 1, b"ax": 1}, 259, [EOT])[1][1] == (b"ab", b"x")
    # Bytes above 127 are greater, although GPT-2 writes 0x00 as a character above all of them.
    assert train({b"\x00\x00": 1, b"\xff\xff": 1}, 258, [EOT])[1] == [(b"\xff", b"\xff")]


@given(
    st.dictionaries(
        st.text("ab", max_size=12).map(str.encode) | st.binary(max_size=8) | st.integers(0, 9).map(lambda n: b"a" * n),
        st.integers(1, 4),
        max_size=8,
    ),
    st.integers(258, 300),
)
def test_equal_to_the_reference(words: dict[bytes, int], vocab_size: int) -> None:
    assert learn_merges(words, vocab_size, [EOT, "<|pad|>"]) == reference.train(words, vocab_size, [EOT, "<|pad|>"])


PARTS = st.lists(
    st.sampled_from(["low", "lower", " newest", "aaaa", "\r\n", "\n\n", " ", EOT, "é", "你好", "!", "12"]) | st.text(max_size=5),
    max_size=30,
)


@given(PARTS)
def test_a_file_is_split_at_special_tokens_and_then_into_words(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    file = tmp_path_factory.mktemp("text") / "text.txt"
    file.write_bytes("".join(parts).encode())
    expected = count_documents("".join(parts).split(EOT), [], "gpt2")
    assert count_file(file, [EOT], "gpt2") == expected
    assert train_bpe(file, 270, [EOT]) == reference.train(expected, 270, [EOT])


def test_no_word_crosses_a_document(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(f"ab{EOT}ab\r\nab".encode())
    assert count_file(file, [EOT], "gpt2") == {b"ab": 3, b"\r": 1, b"\n": 1}
    assert count_documents(["ab", "", "ab"], [EOT], "gpt2") == {b"ab": 2}


def test_invalid_utf8_is_kept_byte_by_byte(tmp_path: Path) -> None:
    file = tmp_path / "text.bin"
    file.write_bytes(b"a\xff\xfe b\xc3")
    assert count_file(file, [], "gpt2") == {b"a": 1, b"\xff\xfe": 1, b" b": 1, b"\xc3": 1}


def test_training_stops_when_no_pair_is_left(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("abc")
    vocab, merges = train_bpe(file, 1000, [EOT])
    assert merges == [(b"b", b"c"), (b"a", b"bc")]
    assert len(vocab) == 259
    file.write_text("")
    assert train_bpe(file, 1000, [EOT])[1] == []


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose 257 or more"):
        train_bpe(tmp_path / "text.txt", 256, [EOT])
    with pytest.raises(UserError, match="no such file"):
        train_bpe(tmp_path / "text.txt", 300, [EOT])
    with pytest.raises(UserError, match="appears twice"):
        learn_merges({}, 300, [EOT, EOT])
    with pytest.raises(UserError, match="at least two bytes"):
        learn_merges({}, 300, ["x"])


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("".join(f"word{i % 977} of document {i}.\n\n{EOT if i % 50 == 0 else ''}" for i in range(400_000)))
    assert file.stat().st_size > 8 << 20
    alone = count_file(file, [EOT], "gpt2", processes=1)
    assert count_file(file, [EOT], "gpt2", processes=2) == alone
    assert alone[b" document"] == 400_000
