"""The state of a running training on disk: a folder of checkpoints that no crash can spoil.

    state/train/<id>/metrics.jsonl timing.jsonl       the logs so far
    state/train/<id>/step-000000400/                  one checkpoint
        state.safetensors  progress.json  metrics.jsonl  timing.jsonl
        complete.json                                 sha256 of each file; written last

A checkpoint is written beside, flushed, and renamed; the last two are kept. One that is torn or altered is passed over, and
the one before it is used.
"""

import hashlib
import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.lm.artifacts import flush, sha256
from stages.lm.errors import UserError

log = logging.getLogger("stagecraft")

KEPT = 2
MARKER = "complete.json"


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    """Optimizer steps done."""
    seconds: float = 0.0
    """Seconds spent in training steps, in all runs together."""


class StateFolder:
    """The checkpoints of one run. `identity` says what determines the run: checkpoints of another one are not used."""

    def __init__(self, folder: Path, identity: dict[str, str]) -> None:
        self.folder, self.identity = folder, identity

    def write(self, progress: Progress, files: dict[str, bytes]) -> None:
        """Add a checkpoint of these files, and remove all but the last two."""
        final = self.folder / f"step-{progress.step:09d}"
        draft = self.folder / f".{final.name}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        about = {"identity": self.identity, "progress": asdict(progress)}
        contents = files | {"progress.json": json.dumps(about, indent=2).encode()}
        for name, content in contents.items():
            _write(draft / name, content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        _write(draft / MARKER, json.dumps(hashes, indent=2).encode())
        flush(draft)
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        flush(self.folder)
        for old in self._folders()[:-KEPT]:
            shutil.rmtree(old)

    def latest(self) -> tuple[Progress, Path] | None:
        """The last whole checkpoint of this run, None if there is none. Says which ones it passes over, and why."""
        for folder in reversed(self._folders()):
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

    def remove(self) -> None:
        """Delete the folder: the run is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


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


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
