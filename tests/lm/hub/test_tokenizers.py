"""Tokenizers of every kind as transformers loads them."""

from pathlib import Path
from typing import Any

import pytest

from stages.lm.bpe.documents import Documents
from stages.lm.errors import UserError
from stages.lm.hub.tokenizer import check_kind, write_tokenizer
from stages.lm.settings import parse
from stages.lm.tokenizers.files import write_tokenizer as write_ours
from stages.lm.tokenizers.settings import TokenizerSettings
from stages.lm.tokenizers.training import train

TEXTS = [
    "The quick brown fox doesn't jump over 1234 lazy dogs, they're asleep.",
    "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "敏捷的棕色狐狸跳过懒狗。いろはにほへと、다람쥐 헌 쳇바퀴에 타고파.",
    "نص حكيم له سر قاطع  שפן אכל קצת גזר\tमनुष्य\n\n  🌍👩‍👩‍👧 e\u0301",
    "<|endoftext|>a<|endoftext|><pad> b <unk>\r\n ",
]
SPECIAL = {"special_tokens": ["<|endoftext|>", "<pad>"]}
KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 400, "pattern": "gpt2"},
    "cl100k": {"vocab_size": 400, "pattern": "cl100k"},
    "o200k": {"vocab_size": 400, "pattern": "o200k"},
    "byte": {"kind": "byte"},
    "character": {"kind": "character"},
    "word": {"kind": "word", "vocab_size": 60},
}


def saved(folder: Path, settings: dict[str, Any]) -> Any:
    (folder / "ours").mkdir()
    (folder / "theirs").mkdir()
    documents = [Documents.of_bytes(text.encode()) for text in TEXTS]
    tokenizer = train(parse(TokenizerSettings, settings | SPECIAL, "tokenizer"), documents).tokenizer
    write_ours(folder / "ours", tokenizer)
    return tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_texts_are_ours(kind: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    ours = saved(tmp_path, KINDS[kind])
    write_tokenizer(tmp_path / "theirs", tmp_path / "ours", 64, "language model")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "theirs")
    assert isinstance(theirs, PreTrainedTokenizerFast)
    assert (theirs.eos_token_id, theirs.bos_token_id, theirs.model_max_length) == (ours.end_of_text, ours.end_of_text, 64)
    for text in TEXTS:
        ids = ours.encode(text)
        assert theirs(text)["input_ids"] == ids
        assert theirs.decode(ids) == ours.decode(ids)
    assert theirs.decode(ours.encode(TEXTS[-1]), skip_special_tokens=True) == "a b " + TEXTS[-1].rpartition(" b ")[2]


def test_code_points_are_refused() -> None:
    with pytest.raises(UserError, match="transformers has no tokenizer of code points"):
        check_kind(parse(TokenizerSettings, {"kind": "character", "alphabet": "unicode"}, "tokenizer"))
