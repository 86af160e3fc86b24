"""Values between a grader and the process that runs a submission: JSON and safetensors, in which nothing runs when it is read.

A message is 8 bytes of length and that many bytes: 8 bytes of length, JSON of that length, and the tensors that it refers to.
"""

import json
import os
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

LIMIT = 1 << 26
"""The bytes of the longest message."""


class Malformed(Exception):
    """Bytes that are no message."""


def pack(value: Any) -> bytes:
    """A message that holds plain values, bytes, tensors and arrays, nested in lists, tuples (which become lists) and mappings.

    Raises TypeError for anything else, ValueError where it is longer than a message may be.
    """
    tensors: dict[str, Tensor] = {}

    def plain(part: Any) -> Any:
        if part is None or isinstance(part, bool | int | float | str):
            return part
        if isinstance(part, np.generic):
            return part.item()
        if isinstance(part, bytes | bytearray):
            return {"bytes": part.hex()}
        if isinstance(part, dict):
            return {"items": [[plain(key), plain(below)] for key, below in part.items()]}
        if isinstance(part, list | tuple):
            return [plain(below) for below in part]
        if isinstance(part, np.ndarray):
            part = torch.from_numpy(part.copy())
        if isinstance(part, Tensor):
            name = str(len(tensors))
            tensors[name] = part.detach().cpu().contiguous().clone()
            return {"tensor": name}
        raise TypeError(f"a value of type {type(part).__name__}, which is none of number, text, bytes, list, dict or tensor")

    text = json.dumps(plain(value)).encode()
    body = len(text).to_bytes(8, "little") + text + save(tensors)
    if len(body) > LIMIT:
        raise ValueError(f"an answer of {len(body) >> 20} MiB, more than {LIMIT >> 20} MiB")
    return len(body).to_bytes(8, "little") + body


def unpack(body: bytes) -> Any:
    """The value in a message, without its first 8 bytes. Raises Malformed."""

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(below) for below in part]
        if isinstance(part, dict):
            ((kind, content),) = part.items()
            if kind == "items":
                return {whole(key): whole(below) for key, below in content}
            return bytes.fromhex(content) if kind == "bytes" else tensors[content]
        return part

    try:
        end = 8 + int.from_bytes(body[:8], "little")
        tensors = load(body[end:])
        return whole(json.loads(body[8:end]))
    except Exception as error:  # noqa: BLE001, libraries disagree on what to raise for shapes that no memory holds
        raise Malformed(type(error).__name__) from None


def length(head: bytes) -> int:
    """How many bytes follow the first 8 of a message. Raises Malformed for more than a message may have."""
    promised = int.from_bytes(head, "little")
    if promised > LIMIT:
        raise Malformed("too long")
    return promised


def read(descriptor: int) -> Any:
    """Wait for a message and unpack it. Raises EOFError where the other side has ended."""
    return unpack(_exactly(descriptor, length(_exactly(descriptor, 8))))


def write(descriptor: int, message: bytes) -> None:
    """Write a whole message."""
    view = memoryview(message)
    while view:
        view = view[os.write(descriptor, view) :]


def _exactly(descriptor: int, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        part = os.read(descriptor, count - len(found))
        if not part:
            raise EOFError
        found += part
    return bytes(found)
