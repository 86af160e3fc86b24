"""Settings that cannot work are refused with the key and the remedy."""

from typing import Any

import pytest

from stages.lm.bpe.settings import BpeSettings
from stages.lm.errors import UserError
from stages.lm.settings import parse


def test_defaults() -> None:
    settings = parse(BpeSettings, {"vocab_size": 1024}, "tokenizers.bpe")
    assert settings.resolved() == {"kind": "bpe", "vocab_size": 1024, "special_tokens": ["<|endoftext|>"], "pattern": "gpt2"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 256}, "tokenizers.bpe: vocab_size 256.*choose 257 or more"),
        ({"vocab_size": 300, "pattern": "("}, "tokenizers.bpe: pattern"),
        ({"vocab_size": 300, "special_tokens": []}, "tokenizers.bpe.special_tokens"),
        ({"vocab_size": 300, "special_tokens": [""]}, "at least two bytes"),
        ({"vocab_size": 300, "special_tokens": ["<s>", "<s>"]}, "appears twice"),
    ],
)
def test_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(BpeSettings, settings, "tokenizers.bpe")
