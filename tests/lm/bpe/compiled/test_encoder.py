"""The compiled encoder against the plain one."""

import lzma
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import tiktoken
import tokenizers
from hypothesis import example, given
from tiktoken.load import load_tiktoken_bpe

from stages.lm.bpe.compiled.encoder import Encoder
from stages.lm.bpe.files import save_tokenizer
from stages.lm.bpe.pretokenization import PATTERNS
from stages.lm.bpe.tokenizer import COMPILED_CHARACTERS, Tokenizer

EOT = "<|endoftext|>"
BYTES = {byte: bytes([byte]) for byte in range(256)}
TEXTS = st.lists(
    st.sampled_from([EOT, "<|", "the", " ", "aaaa", "\r\n", "é", "你好", "12", "!" * 20, " " * 30]) | st.text(), max_size=20
)


def one(encoder: Encoder, text: str) -> list[int]:
    return encoder.encode_texts([text])[0]


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k"])
@given(parts=TEXTS)
@example(parts=[EOT, EOT, EOT])
@example(parts=["x" * length for length in (15, 16, 63, 64, 65, 200)])
def test_equal_to_the_plain_encoder(small: Tokenizer, pattern: str, parts: list[str]) -> None:
    tokenizer = Tokenizer(small.vocab, small.merges, list(small.special_tokens), pattern)
    encoder = Encoder(tokenizer, tokenizer.special_tokens)
    text = "".join(parts)
    assert one(encoder, text) == tokenizer.encode(text)
    assert one(encoder, text) == tokenizer.encode(text)  # now from the cache
    assert one(Encoder(tokenizer, [EOT]), text) == tokenizer.encode(text, [EOT])
    assert one(Encoder(tokenizer, []), text) == tokenizer.encode(text, ())


@given(st.integers(0, 200), st.integers(0, 3))
def test_overlapping_repeats(length: int, rest: int) -> None:
    tokenizer = Tokenizer(BYTES | {256: b"aa", 257: b"aaaa", 258: b"aaa"}, [(b"a", b"a"), (b"aa", b"aa"), (b"aa", b"a")])
    text = "b" * rest + "a" * length
    assert one(Encoder(tokenizer, []), text) == tokenizer.encode(text)


def test_wide_ids(small: Tokenizer) -> None:
    """A vocabulary of more than 65,536 tokens, ids in no order."""
    shift = {index: (index * 7919) % 100_003 for index in small.vocab}
    tokenizer = Tokenizer({shift[index]: token for index, token in small.vocab.items()}, small.merges, [EOT])
    encoder = Encoder(tokenizer, [EOT])
    text = "The quick brown fox isn't here; 世界 " * 3 + EOT + "-" * 100
    assert encoder.dtype == np.uint32
    assert one(encoder, text) == one(encoder, text) == tokenizer.encode(text)
    assert one(encoder, text) == [shift[index] for index in small.encode(text, [EOT])]


def test_documents_are_separate(small: Tokenizer) -> None:
    texts = ["the", "", " cat", "s\n", "\n"]
    data = "".join(texts).encode()
    offsets = np.cumsum([0, *(len(text.encode()) for text in texts)])
    ids, counts = Encoder(small, []).encode(b"xx" + data, offsets + 2, small.end_of_text)
    ends = np.cumsum(counts)
    assert [ids[a:b].tolist() for a, b in zip(ends - counts, ends, strict=True)] == [[*small.encode(text), 256] for text in texts]


def test_a_megabyte_without_a_space(gpt2: Tokenizer) -> None:
    encoder = Encoder(gpt2, [])
    text = "abba" * 250_000
    ids = one(encoder, text)
    assert gpt2.decode(ids) == text
    assert ids[:1000] == gpt2.encode("abba" * 1000)[:1000]


@pytest.mark.slow
def test_real_text_and_random_bytes(gpt2: Tokenizer, shared_data: Path) -> None:
    encoder = Encoder(gpt2, [EOT])
    with lzma.open(shared_data / "documentation.txt.xz") as file:
        documents = file.read(12_000_000)[-4_000_000:]
    noise = np.random.default_rng(0).integers(0, 256, 500_000, np.uint8).tobytes()
    for data in (documents, noise):
        assert encoder.encode(data, np.array([0, len(data)]))[0].tolist() == gpt2.encode_bytes(data)


def test_threads_share_an_encoder(gpt2: Tokenizer, many_scripts: str) -> None:
    encoder = Encoder(gpt2, [EOT])
    texts = [many_scripts[i:] * 20 for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(partial(one, encoder), texts)) == gpt2.encode_batch(texts)


def test_large_texts_take_the_compiled_way(small: Tokenizer, many_scripts: str) -> None:
    text = (many_scripts + EOT) * 4000
    assert len(text) > COMPILED_CHARACTERS
    parts = [many_scripts, EOT] * 4000
    for allowed in ("all", [EOT], []):
        fresh = Tokenizer(small.vocab, small.merges, list(small.special_tokens))
        encoded = {part: fresh.encode(part, allowed) for part in (many_scripts, EOT, "\ud83d\ude00 \udfff")}
        assert fresh.encode_batch([*parts, "\ud83d\ude00 \udfff"], allowed) == [
            *map(encoded.get, parts),
            encoded["\ud83d\ude00 \udfff"],
        ]
        assert fresh.decode(fresh.encode(text, allowed)) == text


def test_equal_to_the_libraries_that_load_our_files(gpt2: Tokenizer, many_scripts: str, tmp_path: Path) -> None:
    """Text in many scripts, emoji sequences, code, and random characters that every library knows."""
    draw = np.random.default_rng(0)
    old = [code for code in range(0x110000) if unicodedata.ucd_3_2_0.category(chr(code)) not in ("Cn", "Cs")]
    points = draw.choice(old, 3000).tolist()
    emoji = "👩‍👩‍👧‍👦 👍🏽👍🏽 🇩🇪🇫🇷 ❤️‍🔥 1️⃣"
    texts = [many_scripts * 5, Path(lzma.__file__).read_text(), emoji * 20, "".join(map(chr, points)), "==== " * 40 + "a" * 300]
    save_tokenizer(tmp_path, gpt2)
    ours = Encoder(gpt2, []).encode_texts(texts)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text, ids in zip(texts, ours, strict=True):
        assert theirs.encode(text).ids == ids
    ranks = load_tiktoken_bpe(str(tmp_path / "tokenizer.tiktoken"))
    encoding = tiktoken.Encoding("ours", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={})
    for text, ids in zip(texts, ours, strict=True):
        assert encoding.encode_ordinary(text) == ids
