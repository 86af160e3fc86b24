"""The state of a running training on disk: a folder of checkpoints that no crash can spoil.

    state/train/<id>/metrics.jsonl timing.jsonl       the logs so far
    state/train/<id>/chosen.json                      what the run chose when it began, where its settings leave that open
    state/train/<id>/step-000000400/                  one checkpoint
        state.safetensors  progress.json  metrics.jsonl  timing.jsonl
        complete.json                                 sha256 of each file; written last

A checkpoint is written beside, flushed, and renamed; the last two are kept, and milestones. One that is torn or altered is
passed over, and the one before it is used.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from stages.lm.artifacts import flush, sha256
from stages.lm.errors import UserError
from stages.lm.training.checkpoint import Snapshot

log = logging.getLogger("stagecraft")

KEPT = 2
MARKER = "complete.json"
CHOSEN = "chosen.json"


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    """Optimizer steps done."""
    tokens: int = 0
    """Predictions learned from."""
    seconds: float = 0.0
    """Seconds spent in training steps, in all runs together."""
    best_validation_loss: float | None = None
    """The lowest one measured so far, in nats per token."""


class StateFolder:
    """The checkpoints of one run. `identity` says what determines the run: checkpoints of another one are not used."""

    def __init__(self, folder: Path, identity: dict[str, Any], milestone_every: int | None = None) -> None:
        """Checkpoints after every `milestone_every` steps are milestones, which stay."""
        self.folder, self.identity, self.milestone_every = folder, identity, milestone_every

    def write(self, progress: Progress, files: Mapping[str, bytes | Snapshot]) -> None:
        """Add a checkpoint of these files, and remove all but the last two and milestones, and what lies beyond: that was passed
        over, or the run would be there.

        Whatever goes wrong, a full disk for example, the checkpoints before it stay whole.
        """
        final = self.folder / f"step-{progress.step:09d}"
        draft = self.folder / f".{final.name}"
        for left in self.folder.glob(".step-*"):
            shutil.rmtree(left)
        draft.mkdir(parents=True)
        try:
            about = {"identity": self.identity, "progress": asdict(progress)}
            contents = {**files, "progress.json": json.dumps(about, indent=2).encode()}
            hashes = {name: _write(draft / name, content) for name, content in contents.items()}
            _write(draft / MARKER, json.dumps(hashes, indent=2).encode())
            flush(draft)
            shutil.rmtree(final, ignore_errors=True)
            draft.rename(final)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise OSError(error.errno, error.strerror, str(draft)) from None
        flush(self.folder)
        before = [folder for folder in self._folders() if _step(folder) <= progress.step]
        for old in self._folders():
            if old not in before or (old not in before[-KEPT:] and not self.is_milestone(_step(old))):
                shutil.rmtree(old)

    def is_milestone(self, step: int) -> bool:
        return self.milestone_every is not None and step % self.milestone_every == 0

    def latest(self, at_most: int | None = None) -> tuple[Progress, Path] | None:
        """The last whole checkpoint of this run, None if there is none. Says which ones it passes over, and why.

        With `at_most` the last one that has done no more steps than that.
        """
        for folder in reversed([folder for folder in self._folders() if at_most is None or _step(folder) <= at_most]):
            fault = _fault(folder)
            if fault is not None:
                log.warning("checkpoint %s is passed over: %s", folder, fault)
                continue
            about = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
            if about["identity"] == self.identity:
                return Progress(**about["progress"]), folder
            changed = sorted(key for key in self.identity if about["identity"].get(key) != self.identity[key])
            if changed != ["code"]:
                raise UserError(
                    f"{self.folder}: holds checkpoints of another run (other {', '.join(changed)}); "
                    "give another --state, or delete that folder"
                )
            log.warning("checkpoint %s is passed over: the code of training has changed since; training starts again", folder)
            return None
        return None

    def choose(self, chosen: Mapping[str, Any]) -> None:
        """Keep what the run has chosen; it is there whole, or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{CHOSEN}"
        _write(draft, json.dumps({"identity": self.identity, "chosen": dict(chosen)}, indent=2).encode())
        draft.rename(self.folder / CHOSEN)
        flush(self.folder)

    def chosen(self) -> dict[str, Any] | None:
        """What the run has chosen, None if it has not yet."""
        try:
            kept = json.loads((self.folder / CHOSEN).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return dict(kept["chosen"]) if kept["identity"] == self.identity else None

    def finish(self) -> None:
        """Delete what a finished run does not need: everything but its milestones."""
        for folder in self._folders():
            if not self.is_milestone(_step(folder)):
                shutil.rmtree(folder)
        if not self._folders():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


class Saver:
    """Writes checkpoints in a thread, one after the other; a context manager that waits for the last one."""

    def __init__(self, state: StateFolder) -> None:
        self.state = state
        self.thread = ThreadPoolExecutor(1, "checkpoints")
        self.writing: Future[None] | None = None

    def save(self, progress: Progress, files: Mapping[str, bytes | Snapshot]) -> None:
        """Begin to write a checkpoint, when the one before it is done; raises what went wrong with that."""
        self.wait()
        self.writing = self.thread.submit(self.state.write, progress, files)

    def wait(self) -> None:
        """Until the last checkpoint is on disk; raises what went wrong with it."""
        if self.writing is not None:
            writing, self.writing = self.writing, None
            writing.result()

    @property
    def has_failed(self) -> bool:
        """Whether something went wrong with the last checkpoint, as far as that is known by now."""
        return self.writing is not None and self.writing.done() and self.writing.exception() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.wait()
        self.thread.shutdown()


class _Hashing:
    """A stream that hashes what it writes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.hash = stream, hashlib.sha256()

    def write(self, content: bytes | memoryview, /) -> None:
        self.stream.write(content)
        self.hash.update(content)


def _write(file: Path, content: bytes | Snapshot) -> str:
    """Write a file to the disk itself; returns its sha256."""
    with file.open("wb") as stream:
        out = _Hashing(stream)
        content.write(out) if isinstance(content, Snapshot) else out.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return out.hash.hexdigest()


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint, None if it is whole."""
    try:
        hashes = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        for name, expected in hashes.items():
            if sha256(folder / name) != expected:
                return f"{name} is not what was written"
    except (OSError, ValueError) as error:
        return f"it is torn ({error})"
    return None
