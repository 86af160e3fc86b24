"""Texts and tokenizers that several tests of byte-pair encoding use."""

from pathlib import Path

import pytest

from stages.lm.bpe.files import read_gpt2
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.bpe.training import learn_merges

MANY_SCRIPTS = (
    "The quick brown fox isn't 12345 years old; we'll see, THEY'VE said so.\r\n\r\n\tdef f(x):\n\t\treturn x**2  # naïve\n"
    "Ein Bär läuft über die Straße. Ο ήλιος λάμπει. Быстрая лиса. 你好，世界！今天天气很好。 こんにちは世界、カタカナ。\n"
    "안녕하세요.\n"
    "مرحبا بالعالم ١٢٣ שלום עולם नमस्ते दुनिया १२३ สวัสดีชาวโลก\n"
    "👩‍👩‍👧‍👦👍🏽🇩🇪 e\u0301 \u00a0\u2003\u3000 x\u200by ½ Ⅻ ②\n\n\n   end \n "
)


@pytest.fixture(scope="session")
def many_scripts() -> str:
    return MANY_SCRIPTS


@pytest.fixture(scope="session")
def small() -> Tokenizer:
    """A tokenizer with merges in many scripts and two special tokens of which one begins the other."""
    specials = ["<|endoftext|>", "<|endoftext|><|endoftext|>"]
    words = {word.encode(): 1 + len(word) % 3 for word in MANY_SCRIPTS.split(" ")}
    vocab, merges = learn_merges(words, 600, specials)
    return Tokenizer(vocab, merges, specials)


@pytest.fixture(scope="session")
def gpt2(shared_data: Path) -> Tokenizer:
    """GPT-2's published tokenizer."""
    vocab, merges = read_gpt2(shared_data / "gpt2" / "vocab.json", shared_data / "gpt2" / "merges.txt", ["<|endoftext|>"])
    return Tokenizer(vocab, merges, ["<|endoftext|>"])
