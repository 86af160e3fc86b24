"""Characters, bytes and words: the course's string, Hugging Face's library on our files, streams, and what is lost."""

import itertools
import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import tokenizers
from hypothesis import given

from stages.lm.bpe.documents import Documents
from stages.lm.bpe.interface import TextTokenizer
from stages.lm.errors import UserError
from stages.lm.settings import parse
from stages.lm.tokenizers.files import read_tokenizer, write_tokenizer
from stages.lm.tokenizers.settings import TokenizerSettings
from stages.lm.tokenizers.statistics import Compression, compression, longest_tokens
from stages.lm.tokenizers.training import Trained, train

HELLO = "Hello, 🌍! 你好!"
EOT = "<|endoftext|>"
KINDS: dict[str, dict[str, Any]] = {
    "byte": {"kind": "byte"},
    "character": {"kind": "character"},
    "unicode": {"kind": "character", "alphabet": "unicode"},
    "word": {"kind": "word"},
    "gpt2 word": {"kind": "word", "pattern": "gpt2"},
    "bpe": {"vocab_size": 262},
}
# Libraries differ in the version of Unicode, and so in which of the latest letters are letters.
KNOWN = st.text(st.characters(exclude_categories=["Cn", "Cs"]))
TEXT = st.lists(
    st.sampled_from([EOT, "Hello", "snake_case", " ", "\n\n", "\r\n", "it's", "你好", "<unk>", "e\u0301"]) | KNOWN
).map("".join)


def trained(*texts: str, **settings: Any) -> Trained:
    return train(parse(TokenizerSettings, settings, "tokenizers.it"), [Documents.of_bytes(text.encode()) for text in texts])


def made(*texts: str, **settings: Any) -> TextTokenizer:
    return trained(*texts, **settings).tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_the_courses_string_comes_back(kind: str) -> None:
    tokenizer = made(HELLO, **KINDS[kind])
    assert tokenizer.decode(tokenizer.encode(HELLO)) == HELLO
    assert tokenizer.decode(tokenizer.encode(HELLO + EOT)) == HELLO + EOT
    assert tokenizer.encode(EOT) == [tokenizer.end_of_text]
    assert tokenizer.vocab_size == max(tokenizer.special_tokens[EOT], *tokenizer.vocab) + 1


def test_the_courses_ids() -> None:
    assert made("", kind="character", alphabet="unicode").encode(HELLO) == [ord(character) for character in HELLO]
    assert made("", kind="byte").encode(HELLO) == list(HELLO.encode())
    words = made(HELLO, kind="word")
    assert [words.vocab[index].decode() for index in words.encode(HELLO)] == ["Hello", ",", " ", "🌍", "!", " ", "你好", "!"]
    words = made(HELLO, kind="word", pattern="gpt2")
    assert [words.vocab[index].decode() for index in words.encode(HELLO)] == ["Hello", ",", " 🌍!", " 你好", "!"]


def test_the_courses_compression() -> None:
    """20 bytes: as many byte tokens, 13 characters, 8 words."""
    found = {kind: compression(made(HELLO, **KINDS[kind]), [HELLO]) for kind in ("byte", "character", "word")}
    assert found == {"byte": Compression(20, 20, 0), "character": Compression(20, 13, 0), "word": Compression(20, 8, 0)}
    assert found["byte"].bytes_per_token == 1


@given(text=TEXT)
@pytest.mark.parametrize("kind", ["byte", "unicode"])
def test_some_kinds_lose_nothing(kind: str, text: str) -> None:
    tokenizer = made("", **KINDS[kind])
    assert tokenizer.unknown is None
    assert tokenizer.decode(tokenizer.encode(text)) == text
    data = text.encode()[1:-1]
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data


@given(seen=st.text(), text=TEXT)
@pytest.mark.parametrize("kind", ["character", "word", "gpt2 word"])
def test_others_lose_what_they_have_not_seen(kind: str, seen: str, text: str) -> None:
    tokenizer = made("Hello 你好" + seen, **KINDS[kind])
    ids = tokenizer.encode(text)
    assert tokenizer.unknown in ids or tokenizer.decode(ids) == text
    assert tokenizer.unknown not in made("x", text, **KINDS[kind]).encode(text)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_stream_gives_the_ids_of_the_whole(kind: str, data: st.DataObject) -> None:
    text = data.draw(TEXT)
    tokenizer = made(HELLO + "snake_case it's Hello", **KINDS[kind])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    chunks = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    assert list(tokenizer.encode_iterable(chunks)) == tokenizer.encode(text)


@pytest.mark.parametrize("kind", ["byte", "character", "word", "gpt2 word"])
@given(text=TEXT)
def test_equal_to_tokenizers(kind: str, text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    ours = made(HELLO + " snake_case it's\n", **KINDS[kind])
    folder = tmp_path_factory.getbasetemp() / kind
    if not folder.exists():
        folder.mkdir()
        write_tokenizer(folder, ours)
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = ours.encode(text)
    assert theirs.encode(text).ids == ids
    assert theirs.decode(ids, skip_special_tokens=False) == ours.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_back(kind: str, tmp_path: Path) -> None:
    tokenizer = made(HELLO, special_tokens=[EOT, EOT + EOT], **(KINDS[kind] | ({"vocab_size": 262} if kind == "bpe" else {})))
    write_tokenizer(tmp_path, tokenizer)
    read = read_tokenizer(tmp_path)
    assert type(read) is type(tokenizer)
    assert dict(read.vocab) == dict(tokenizer.vocab)
    for attribute in ("special_tokens", "vocab_size", "unknown", "pattern"):
        assert getattr(read, attribute) == getattr(tokenizer, attribute)


def test_words_by_frequency_and_the_unknown_one() -> None:
    found = trained("b a b c\nb a", kind="word", vocab_size=5)
    tokenizer = found.tokenizer
    # 11 words: 4 spaces, 3 b, 2 a, 1 c and the line's end; room for three of the five
    assert [token.decode() for token in tokenizer.vocab.values()] == [EOT, "<unk>", " ", "b", "a"]
    assert (found.words, found.distinct_words, found.known_words) == (11, 5, 9)
    assert tokenizer.decode(tokenizer.encode("a c\n")) == "a <unk><unk>"
    assert longest_tokens(tokenizer, 9) == [b" ", b"b", b"a"]
    assert compression(tokenizer, ["a c\n"]) == Compression(4, 4, 2)


def test_a_text_that_spells_the_unknown_token() -> None:
    tokenizer = made("< unk > <unk>", kind="word")
    assert tokenizer.unknown not in tokenizer.encode("<unk>")
    tokenizer = made("a <unk>", kind="word", pattern=r"\S+|\s+")
    assert tokenizer.encode("a <unk>") == [3, 2, tokenizer.unknown]


def test_specials_longest_first_and_only_those_allowed() -> None:
    tokenizer = made("< | endoftext >", kind="word", special_tokens=[EOT, EOT + EOT])
    assert tokenizer.encode(EOT * 3) == [1, 0]
    assert tokenizer.encode(EOT * 3, [EOT]) == [0, 0, 0]
    assert tokenizer.decode(tokenizer.encode(EOT, ())) == EOT


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "words"}, "unknown kind 'words'; did you mean 'word'\\? allowed: bpe, byte, character, word"),
        ({"kind": "byte", "vocab_size": 256}, "unknown key 'vocab_size'"),
        ({"kind": "word", "vocab_size": 2}, "vocab_size"),
        ({"kind": "word", "pattern": "("}, "neither gpt2, cl100k, o200k nor a valid regex"),
        ({"kind": "word", "special_tokens": [EOT, "<pad>"], "vocab_size": 3}, "no room for a word"),
        ({"kind": "character", "alphabet": "greek"}, "alphabet"),
        ({"kind": "character", "special_tokens": ["x"]}, "at least two bytes"),
        ({}, "vocab_size: this key is required"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(TokenizerSettings, settings, "tokenizers.it")


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_nothing_to_learn_from(kind: str) -> None:
    with pytest.raises(UserError, match="no text to learn from"):
        made("", **KINDS[kind])


def test_damaged_files(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, made(HELLO, kind="word"))
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"]["unk_token"] = "Hello"
    for damaged in (
        json.dumps(content),
        json.dumps({"model": {"type": "CodePoints"}}),
        json.dumps({"model": {"type": "Unigram"}}),
        "[]",
    ):
        (tmp_path / "tokenizer.json").write_text(damaged)
        with pytest.raises(UserError, match=r"tokenizer\.json: is n"):
            read_tokenizer(tmp_path)
