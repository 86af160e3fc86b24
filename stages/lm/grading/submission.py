"""The folder that a student hands in: what identifies it, and whether it can be graded at all."""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from stages.lm.artifacts import sha256
from stages.lm.errors import UserError

SKIPPED = ("__pycache__", ".git", ".venv", ".ipynb_checkpoints", ".DS_Store")
"""What is there by accident, and is not looked at."""
LONGEST_MESSAGE = 2000
"""Characters of a foreign message."""


def submissions(folder: Path) -> list[Path]:
    """The submissions in a folder, each a folder of its own. Raises UserError where there are none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder; name one that holds a folder for each submission")
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise UserError(f"{folder}: holds no submissions; each should be a folder, named after who hands it in")
    return found


def files(submission: Path) -> list[Path]:
    """Its plain files, whatever else it holds. Links, what is no file, and what may not be read are left out."""
    found, folders = [], [submission]
    while folders:  # a stack, since folders may lie deeper than functions may call each other
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name in SKIPPED or entry.is_symlink():
                    continue
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif entry.is_file() and os.access(entry.path, os.R_OK):
                    found.append(Path(entry.path))
    return sorted(found)


def content(submission: Path) -> str:
    """A hash over the names and bytes of its files."""
    lines = [f"{sha256(path)}  {path.relative_to(submission).as_posix()}\n" for path in files(submission)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def copy(submission: Path, folder: Path) -> None:
    """Copy its files, and no others: what runs is what is measured, hashed and shown."""
    folder.mkdir()
    for path in files(submission):
        target = folder / path.relative_to(submission)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def too_large(submission: Path, limit_mb: int) -> str | None:
    """In words why it is not looked at; None where it may be."""
    size = sum(path.stat().st_size for path in files(submission))
    return f"has {size >> 20} MiB, but {limit_mb} MiB are allowed" if size > limit_mb << 20 else None


def legible(text: str) -> str:
    """Foreign text in one line that any page or terminal can show."""
    short = " ".join(text[:LONGEST_MESSAGE].split())
    return "".join(character if character.isprintable() else "\ufffd" for character in short)
