"""Run a stage script as a user does, on a corpus made on the spot."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from stages.lm import artifacts
from stages.lm.corpus.store import SPLITS, SplitWriter, schema

ROOT = Path(__file__).resolve().parents[1]


def write_corpus(folder: Path, **documents: list[str]) -> Path:
    """A corpus artifact with the documents given for each split."""
    out = folder / "corpus"
    columns = schema(with_bits=False)
    with artifacts.writing(out, "corpus", {"source": "test"}, {}) as draft:
        for split in SPLITS:
            rows = [
                {"id": hashlib.sha256(text.encode()).hexdigest(), "text": text, "source": "test"}
                for text in documents.get(split, [])
            ]
            with SplitWriter(draft.path, split, columns) as writer:
                writer.write(pa.RecordBatch.from_pylist(rows, columns))
    return out


def run(stage: str, settings: dict[str, Any], out: Path, code: int = 0, **inputs: Path) -> str:
    """Run `python -m stages.<stage>`, expect its exit code, and return what it said."""
    return _run(stage, settings, out, code, list(inputs.items()))


def run_listed(stage: str, settings: dict[str, Any], out: Path, inputs: list[Path], code: int = 0) -> str:
    """The same for a stage that takes any number of artifacts."""
    return _run(stage, settings, out, code, [("artifact", folder) for folder in inputs])


def _run(stage: str, settings: dict[str, Any], out: Path, code: int, inputs: list[tuple[str, Path]]) -> str:
    options = [part for role, folder in inputs for part in (f"--{role}", str(folder))]
    command = [sys.executable, "-m", f"stages.{stage}", "--config", "-", "--out", str(out), *options]
    result = subprocess.run(command, input=yaml.safe_dump(settings), capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == code, result.stderr
    return result.stderr
