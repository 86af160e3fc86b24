"""A tokenizer of any kind in a folder: `tokenizer.json` has everything, and says of which kind it is.

Byte pairs and bytes are written as `stages/lm/bpe/files.py` does. Words and characters become the model `WordLevel` of Hugging
Face's tokenizers, which encodes alike (with a pattern of one's own as far as its regular expressions mean the same). Code points
need no vocabulary: their file names the model `CodePoints`, which is our own.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.lm.bpe.files import added_tokens, read_huggingface, read_json, save_tokenizer
from stages.lm.bpe.interface import TextTokenizer
from stages.lm.bpe.pretokenization import PATTERNS, WORDS
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.errors import UserError
from stages.lm.tokenizers.symbols import CodePointTokenizer, SymbolTokenizer

FILE = "tokenizer.json"

WRITTEN = PATTERNS | {WORDS: r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]+|."}
"""Patterns as they are written: the words by what `\\w` means to `regex`; to Oniguruma it is more, superscripts for example."""


def write_tokenizer(folder: Path, tokenizer: TextTokenizer) -> None:
    """Write a tokenizer, byte pairs in every format that there is for them."""
    match tokenizer:
        case Tokenizer():
            save_tokenizer(folder, tokenizer)
        case SymbolTokenizer():
            _write(folder / FILE, tokenizer, _word_level(tokenizer))
        case CodePointTokenizer():
            _write(folder / FILE, tokenizer, {"model": {"type": "CodePoints"}})
        case _:
            raise TypeError(f"no format is known for {type(tokenizer).__name__}")


def read_tokenizer(folder: Path) -> TextTokenizer:
    """Read the tokenizer of a folder that `write_tokenizer` wrote. Raises UserError where it is missing or damaged."""
    file = folder / FILE
    content = read_json(file)
    model = content.get("model") if isinstance(content, Mapping) else None
    try:
        match model:
            case {"type": "WordLevel"}:
                return _read_word_level(content)
            case {"type": "CodePoints"}:
                return CodePointTokenizer([str(token["content"]) for token in content["added_tokens"]])
            case _:
                return read_huggingface(file)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{file}: is not a complete tokenizer.json ({type(error).__name__}: {error}); write it again") from None


def _word_level(tokenizer: SymbolTokenizer) -> dict[str, Any]:
    vocab = {token.decode(): index for index, token in tokenizer.vocab.items()}
    pattern = WRITTEN.get(tokenizer.pattern, tokenizer.pattern)
    return {
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": tokenizer.unknown_token},
    }


def _read_word_level(content: Mapping[str, Any]) -> SymbolTokenizer:
    model, specials = content["model"], [str(token["content"]) for token in content["added_tokens"]]
    names = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if names[: len(specials) + 1] != [*specials, model["unk_token"]]:
        raise ValueError("the special tokens and the unknown one do not come first")
    written = content["pre_tokenizer"]["pattern"]["Regex"]
    pattern = next((name for name, source in WRITTEN.items() if source == written), written)
    return SymbolTokenizer(names[len(specials) + 1 :], specials, pattern, model["unk_token"])


def _write(file: Path, tokenizer: TextTokenizer, parts: Mapping[str, Any]) -> None:
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(tokenizer.special_tokens),
        "normalizer": None,
        "post_processor": None,
        **parts,
    }
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
