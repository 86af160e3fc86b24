"""Tokenizer files: GPT-2's vocab.json and merges.txt, Hugging Face's tokenizer.json, tiktoken's ranks.

A tokenizer's folder holds all of them; `tokenizer.json` alone has everything (special tokens and pattern too), and is what
`load_tokenizer` reads. Bytes are written as GPT-2 does: each as a printable character, so that any byte string is JSON text.
"""

import base64
import binascii
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lm.bpe.merging import merge_symbols
from stages.lm.bpe.pretokenization import PATTERNS
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.bpe.vocabulary import Merges, Vocabulary
from stages.lm.errors import UserError

FilePath = str | os.PathLike[str]

_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_UNPRINTABLE = [byte for byte in range(256) if byte not in _PRINTABLE]
CHARACTERS = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + i) for i, byte in enumerate(_UNPRINTABLE)}
"""The printable character that stands for each byte: itself where it is printable in Latin-1, from U+0100 on elsewhere."""
BYTES = {character: byte for byte, character in CHARACTERS.items()}


def to_text(token: bytes) -> str:
    """A token's bytes as printable characters."""
    return "".join([CHARACTERS[byte] for byte in token])


def from_text(text: str) -> bytes:
    """The bytes that printable characters stand for; text with other characters is taken literally."""
    try:
        return bytes([BYTES[character] for character in text])
    except KeyError:
        return text.encode()


def save_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Write a tokenizer in every format."""
    write_gpt2(folder / "vocab.json", folder / "merges.txt", tokenizer)
    write_huggingface(folder / "tokenizer.json", tokenizer)
    write_tiktoken(folder / "tokenizer.tiktoken", tokenizer)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read the tokenizer of a folder that `save_tokenizer` wrote. Raises UserError where it is missing or damaged."""
    return read_huggingface(folder / "tokenizer.json")


def write_gpt2(vocab_file: FilePath, merges_file: FilePath, tokenizer: Tokenizer) -> None:
    """Write `vocab.json` (token to id) and `merges.txt` (a pair a line, in order)."""
    lines = ["#version: 0.2", *(" ".join(pair) for pair in _merges_text(tokenizer.merges))]
    Path(vocab_file).write_text(_json(_vocab_text(tokenizer)), encoding="utf-8")
    Path(merges_file).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_gpt2(vocab_file: FilePath, merges_file: FilePath, special_tokens: Sequence[str]) -> tuple[Vocabulary, Merges]:
    """Read `vocab.json`, where `special_tokens` are written as they are, and `merges.txt`, with or without its header line."""
    vocab = _vocab_bytes(read_json(vocab_file), special_tokens, vocab_file)
    lines = _read(merges_file).split("\n")
    first = 1 if lines[0].startswith("#version") else 0
    return vocab, _merges_bytes([line.split(" ") for line in lines[first:] if line], merges_file)


def write_huggingface(file: FilePath, tokenizer: Tokenizer) -> None:
    """Write a `tokenizer.json` that `tokenizers.Tokenizer.from_file` reads and that encodes alike."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    pattern = PATTERNS.get(tokenizer.pattern, tokenizer.pattern)
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": _vocab_text(tokenizer),
        "merges": _merges_text(tokenizer.merges),
    }
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(tokenizer.special_tokens),
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": model,
    }
    Path(file).write_text(_json(content), encoding="utf-8")


def added_tokens(special_tokens: Mapping[str, int]) -> list[dict[str, Any]]:
    """Special tokens and their ids as a tokenizer.json lists them."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": index, "content": token, **flags} for token, index in special_tokens.items()]


def read_huggingface(file: FilePath) -> Tokenizer:
    """Read a byte-level BPE `tokenizer.json`, of this project or another. Raises UserError where it is of another kind."""
    content = read_json(file)
    try:
        model = content["model"]
        if model["type"] != "BPE" or content["decoder"]["type"] != "ByteLevel" or content["normalizer"]:
            raise UserError(f"{file}: is no plain byte-level BPE; only those can be read")
        specials = {str(token["content"]): int(token["id"]) for token in content["added_tokens"]}
        vocab = _vocab_bytes(model["vocab"] | specials, list(specials), file)
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        return Tokenizer(vocab, _merges_bytes(pairs, file), list(specials), _pattern_of(content["pre_tokenizer"], file))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{file}: is not a complete tokenizer.json ({type(error).__name__}: {error}); write it again") from None


def write_tiktoken(file: FilePath, tokenizer: Tokenizer) -> None:
    """Write the tokens that are no special tokens as tiktoken's ranks: base64 and id, a token a line."""
    specials = set(tokenizer.special_tokens.values())
    lines = [
        f"{base64.b64encode(token).decode()} {index}\n"
        for index, token in sorted(tokenizer.vocab.items())
        if index not in specials
    ]
    Path(file).write_text("".join(lines), encoding="ascii")


def read_tiktoken(file: FilePath, special_tokens: Mapping[str, int] | None = None, pattern: str = "gpt2") -> Tokenizer:
    """Read tiktoken's ranks. The pair that made each token is what the tokens before it make of its bytes."""
    try:
        rows = [line.split() for line in _read(file).splitlines()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in rows}
    except (ValueError, binascii.Error):
        raise UserError(f"{file}: is not a file of tiktoken ranks (lines of a base64 token and its rank)") from None
    vocab = {rank: token for token, rank in sorted(ranks.items(), key=lambda item: item[1])}
    merges: Merges = []
    known: dict[tuple[int, int], tuple[int, int]] = {}
    for rank, token in vocab.items():
        if len(token) > 1:
            parts = merge_symbols([ranks[bytes([byte])] for byte in token], known)
            if len(parts) != 2:
                raise UserError(f"{file}: token {token!r} is not made of two tokens of lower rank; these are no BPE ranks")
            known[parts[0], parts[1]] = rank, rank
            merges.append((vocab[parts[0]], vocab[parts[1]]))
    specials = dict(special_tokens or {})
    return Tokenizer(vocab | {index: token.encode() for token, index in specials.items()}, merges, list(specials), pattern)


def _vocab_text(tokenizer: Tokenizer) -> dict[str, int]:
    specials = {index: token for token, index in tokenizer.special_tokens.items()}
    vocab = {specials.get(index, to_text(token)): index for index, token in sorted(tokenizer.vocab.items())}
    if len(vocab) < len(tokenizer.vocab):
        raise UserError("tokenizer: a special token is written like the bytes of another token; rename it")
    return vocab


def _vocab_bytes(vocab: Mapping[str, int], special_tokens: Iterable[str], file: FilePath) -> Vocabulary:
    literal = set(special_tokens)
    try:
        return {int(index): token.encode() if token in literal else from_text(token) for token, index in vocab.items()}
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{file}: is not a vocabulary (a mapping of tokens to ids)") from None


def _merges_text(merges: Merges) -> list[tuple[str, str]]:
    return [(to_text(first), to_text(second)) for first, second in merges]


def _merges_bytes(pairs: Iterable[Sequence[str]], file: FilePath) -> Merges:
    merges: Merges = []
    for pair in pairs:
        if len(pair) != 2:
            raise UserError(f"{file}: merge {len(merges) + 1} is {pair!r}, but a merge is two tokens with a space between them")
        merges.append((from_text(pair[0]), from_text(pair[1])))
    return merges


def _pattern_of(pre_tokenizer: dict[str, Any], file: FilePath) -> str:
    """The pattern in a tokenizer.json: of a Split, or GPT-2's where the byte level splits by itself."""
    steps = pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    splits = [str(step["pattern"]["Regex"]) for step in steps if step["type"] == "Split"]
    splits += [PATTERNS["gpt2"] for step in steps if step["type"] == "ByteLevel" and step["use_regex"]]
    if len(splits) != 1 or any(step["type"] not in ("Split", "ByteLevel") or step.get("add_prefix_space") for step in steps):
        raise UserError(f"{file}: splits text in a way that this tokenizer does not know")
    return next((name for name, pattern in PATTERNS.items() if pattern == splits[0]), splits[0])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def read_json(file: FilePath) -> Any:
    """The content of a JSON file. Raises UserError where it is none."""
    try:
        return json.loads(_read(file))
    except ValueError as error:
        raise UserError(f"{file}: is not valid JSON ({error})") from None


def _read(file: FilePath) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; a tokenizer's folder is what the stage bpe writes") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: is not UTF-8 text") from None
