"""File formats: what was written is read back, and `tokenizers` and `tiktoken` encode alike with our files."""

import gzip
import json
import random
from pathlib import Path

import hypothesis.strategies as st
import pytest
import tiktoken
import tokenizers
from hypothesis import given
from tiktoken.load import load_tiktoken_bpe

from stages.lm.bpe import Tokenizer
from stages.lm.bpe.files import (
    from_text,
    load_tokenizer,
    read_huggingface,
    read_tiktoken,
    save_tokenizer,
    to_text,
    write_huggingface,
)
from stages.lm.bpe.pretokenization import PATTERNS
from stages.lm.errors import UserError

EOT = "<|endoftext|>"


def content(tokenizer: Tokenizer) -> tuple[object, ...]:
    return tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens, tokenizer.pattern


@given(st.binary())
def test_any_bytes_are_text(data: bytes) -> None:
    assert from_text(to_text(data)) == data
    assert to_text(data).isprintable()


def test_gpt2s_characters() -> None:
    assert to_text(b" \n\x00\x7f\xada") == "ĠĊĀġŃa"


def test_every_format_is_read_back(small: Tokenizer, tmp_path: Path) -> None:
    save_tokenizer(tmp_path, small)
    assert content(load_tokenizer(tmp_path)) == content(small)
    files = tmp_path / "vocab.json", tmp_path / "merges.txt"
    assert content(Tokenizer.from_files(*files, list(small.special_tokens))) == content(small)
    assert content(read_tiktoken(tmp_path / "tokenizer.tiktoken", small.special_tokens)) == content(small)


@pytest.mark.parametrize("pattern", ["cl100k", "o200k", r"\w+|[^\w]"])
def test_the_pattern_is_read_back(small: Tokenizer, tmp_path: Path, pattern: str, many_scripts: str) -> None:
    tokenizer = Tokenizer(small.vocab, small.merges, [EOT], pattern)
    write_huggingface(tmp_path / "tokenizer.json", tokenizer)
    assert read_huggingface(tmp_path / "tokenizer.json").pattern == pattern
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(many_scripts).ids == tokenizer.encode(many_scripts)


@given(text=st.text())
def test_equal_to_tokenizers(small: Tokenizer, text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "small.json"
    if not file.exists():
        write_huggingface(file, small)
    theirs = tokenizers.Tokenizer.from_file(str(file))
    assert theirs.encode(text).ids == small.encode(text)
    assert theirs.decode(small.encode(text), skip_special_tokens=False) == text


def real_texts(shared_data: Path) -> list[str]:
    with gzip.open(shared_data / "captions" / "test_2016_flickr.de.gz", "rt", encoding="utf-8") as file:
        german = file.read()
    source = Path(tokenizers.__file__).read_text() + Path(json.__file__).read_text()
    emoji = "👩‍👩‍👧‍👦👍🏽🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿❤️‍🔥1️⃣" * 50
    noise = random.Random(0).randbytes(20_000)
    made = [emoji, noise.decode("utf-8", "replace"), noise.decode("latin-1")]
    return [*made, (shared_data / "wikitext2" / "part2.txt").read_text(encoding="utf-8")[:300_000], german, source]


def test_gpt2s_published_files(gpt2: Tokenizer, shared_data: Path, tmp_path: Path, many_scripts: str) -> None:
    save_tokenizer(tmp_path, gpt2)
    ranks = load_tiktoken_bpe(str(tmp_path / "tokenizer.tiktoken"))
    theirs = tiktoken.Encoding("gpt2", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={EOT: 50256})
    bytes_of = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in [many_scripts, f"{EOT}{many_scripts}{EOT}", *real_texts(shared_data)]:
        ids = gpt2.encode(text)
        assert ids == theirs.encode(text, allowed_special="all")
        assert ids == bytes_of.encode(text).ids
        assert gpt2.decode(ids) == text
    assert content(load_tokenizer(tmp_path)) == content(gpt2)
    assert content(read_tiktoken(tmp_path / "tokenizer.tiktoken", {EOT: 50256})) == content(gpt2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", "{", "is not valid JSON"),
        ("tokenizer.json", "[]", "is not a complete tokenizer.json"),
        ("tokenizer.json", json.dumps({"model": {"type": "Unigram"}}), "is no plain byte-level BPE"),
        ("merges.txt", "a b\nc\n", "merge 2 is \\['c'\\]"),
        ("vocab.json", "[1]", "is not a vocabulary"),
        ("tokenizer.tiktoken", "?? 1", "is not a file of tiktoken ranks"),
        ("tokenizer.tiktoken", "YQ== 0\nYWE= x", "is not a file of tiktoken ranks"),
    ],
)
def test_damaged_files(small: Tokenizer, tmp_path: Path, name: str, text: str, message: str) -> None:
    save_tokenizer(tmp_path, small)
    (tmp_path / name).write_text(text)
    readers = {
        "tokenizer.json": lambda: load_tokenizer(tmp_path),
        "tokenizer.tiktoken": lambda: read_tiktoken(tmp_path / name),
        "vocab.json": lambda: Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt"),
        "merges.txt": lambda: Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt"),
    }
    with pytest.raises(UserError, match=message):
        readers[name]()


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_tokenizer(tmp_path / "nowhere")
