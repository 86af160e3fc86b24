"""Artifacts that were changed by someone who knows how they are made."""

import json
from collections.abc import Callable
from pathlib import Path

from stages.lm import artifacts


def forge(folder: Path, file: str, change: Callable[[bytes], bytes]) -> None:
    """Change a file of an artifact and its manifest, hashes and all."""
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    manifest = artifacts.load_manifest(folder)
    manifest["outputs"][file] |= {"sha256": artifacts.sha256(folder / file), "bytes": (folder / file).stat().st_size}
    manifest["content"] = artifacts.content_hash(manifest["outputs"])
    (folder / "manifest.json").write_text(json.dumps(manifest))


def flipped(data: bytes) -> bytes:
    """Data with another last byte."""
    return data[:-1] + bytes([data[-1] ^ 1])
