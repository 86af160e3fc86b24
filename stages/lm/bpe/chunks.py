"""Read a text file in chunks of bytes, cut where the words and special tokens on both sides do not depend on each other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stages.lm.bpe.pretokenization import safe_cut
from stages.lm.errors import UserError

CHUNK_BYTES = CHUNK_CHARACTERS = 1 << 20
COMPILED_BYTES = 1 << 20
"""Inputs of at least this size are worth loading the compiled code for; smaller ones go through plain Python."""
TAIL = 4096


def read_chunks(path: Path, special_tokens: Sequence[str]) -> Iterator[bytes]:
    """The bytes of a file, for the named patterns: words and special tokens are whole. Raises UserError if it is no file.

    Text that offers no place to cut it is held until it does.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; name a text file")
    tokens = [token.encode() for token in special_tokens]
    held = b""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(max(CHUNK_BYTES, len(held))):
            data = held + chunk
            cut = last_cut(data, tokens)
            if cut:
                yield data[:cut]
            held = data[cut:]
    if held:
        yield held


def read_text(path: Path) -> Iterator[str]:
    """The characters of a file in chunks, cut anywhere; invalid bytes as `surrogateescape` has them. Raises UserError."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; name a text file")
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        while chunk := file.read(CHUNK_CHARACTERS):
            yield chunk


def last_cut(data: bytes, special_tokens: Sequence[bytes]) -> int:
    """The last position in the tail of `data`, if need be in all of it, where it can be cut; 0 if there is none."""
    longest = max(map(len, special_tokens), default=1)
    for begin in sorted({max(0, len(data) - TAIL), 0}, reverse=True):
        end = len(data) - longest + 1
        while cut := safe_cut(data, begin, end):
            straddling = [
                token for token in special_tokens if data.find(token, max(0, cut - len(token) + 1), cut + len(token) - 1) >= 0
            ]
            if not straddling:
                return cut
            end = cut - 1
    return 0
