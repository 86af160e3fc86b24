"""Versioned artifacts: directories whose `manifest.json` says what is in them and what they were made from.

    with artifacts.writing(out, "bpe", settings, inputs={"corpus": corpus}) as draft:
        (draft.path / "merges.txt").write_text(...)          # any library may write into draft.path
    bpe = artifacts.read(out, "bpe")                         # every byte verified, or UserError

A draft is a hidden directory inside the artifact. When the block ends well its files are flushed and hashed, renamed
into place, and the manifest is written last; when it fails, what was there before is left as it was. A directory without
a manifest, or whose files disagree with it, is no artifact, whoever says so.

    python -m stages.lm.artifacts verify results/...
"""

import argparse
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import resource
import shutil
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stages.lm import provenance
from stages.lm.errors import UserError

log = logging.getLogger("stagecraft")

FORMATS = {
    "corpus": 1, "bpe": 2, "tokenize": 3, "estimate": 1, "train": 2, "evaluate": 3, "decode": 1,
    "export": 1, "study": 2, "trial": 1, "sweep": 1, "scaling": 1, "report": 6, "grade": 1,
}  # fmt: skip
"""The format version that each stage writes; a change of what its files mean adds one, and makes every path new."""

MANIFEST = "manifest.json"
DRAFT = ".draft"
LOCK = ".lock"


@dataclass(frozen=True)
class Artifact:
    """A verified artifact on disk."""

    path: Path
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        """`<stage>/<name>-<digest>`, the same on every machine."""
        return f"{self.manifest['stage']}/{self.path.resolve().name}"

    @property
    def digest(self) -> str:
        return str(self.manifest["digest"])

    @property
    def settings(self) -> dict[str, Any]:
        """The resolved settings that made it."""
        return dict(yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8")))

    def file(self, name: str) -> Path:
        """The path of one of its files. Raises UserError where the artifact has none of that name."""
        if name not in self.manifest["outputs"]:
            raise UserError(f"{self.path}: has no file {name!r}; it holds {', '.join(self.manifest['outputs'])}")
        return self.path / name

    def json(self, name: str) -> Any:
        """The content of one of its JSON files, `stats.json` for example."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))


@dataclass
class Draft:
    """An artifact being written: put files into `path`; name in `volatile` those that no seed determines (clock times)."""

    path: Path
    volatile: set[str] = field(default_factory=set)
    seed: int | None = None

    def write_text(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")

    def write_json(self, name: str, value: Any) -> None:
        self.write_text(name, to_json(value) + "\n")


INFINITY = "1e999"
"""JSON has no infinity; this number it has, and whoever reads it into a 64-bit float has an infinity again."""


def to_json(value: Any) -> str:
    """Valid JSON, indented. Raises ValueError where a number is not a number."""

    def finite(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: finite(below) for key, below in part.items()}
        if isinstance(part, list | tuple):
            return [finite(below) for below in part]
        return mark + "-" * (part < 0) if isinstance(part, float) and math.isinf(part) else part

    mark = "\0infinity"  # no text has a zero byte
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    return re.sub(r'"\\u0000infinity(-?)"', rf"\g<1>{INFINITY}", text)


def digest(stage: str, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """What determines an artifact's content, in 12 hex digits: stage, format, resolved settings, digests of the inputs."""
    identity = {"stage": stage, "format": FORMATS[stage], "settings": settings, "inputs": dict(inputs)}
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def title(identity: str) -> str:
    """The name that a person gave to an artifact, of its id or folder name."""
    return re.sub(r"-[0-9a-f]{12}$", "", identity.rpartition("/")[2])


def read(path: Path, stage: str) -> Artifact:
    """Open and verify an artifact of `stage`. Raises UserError if it is absent, of another kind or format, or damaged."""
    manifest = load_manifest(path)
    if manifest["stage"] != stage:
        raise UserError(f"{path}: is an artifact of stage {manifest['stage']!r}, but {stage!r} is needed here")
    if manifest["format"] != FORMATS[stage]:
        raise UserError(
            f"{path}: has format {manifest['format']} of stage {stage!r}, but this version reads format {FORMATS[stage]}; "
            "run its stage again with this version, or use the version that made it"
        )
    faults = verify(path)
    if faults:
        raise UserError(f"{path}: is damaged: {'; '.join(faults)}; delete the folder and run its stage again")
    return Artifact(path, manifest)


def read_all(folders: Iterable[Path]) -> dict[str, Artifact]:
    """Verify artifacts of any stage; returns them by id. Raises UserError for one that is damaged or of unknown kind."""
    found = {}
    for folder in folders:
        stage = load_manifest(folder)["stage"]
        if stage not in FORMATS:
            raise UserError(f"{folder}: is of stage {stage!r}, which this version does not know; update, or leave it out")
        artifact = read(folder, stage)
        found[artifact.id] = artifact
    return found


def named(given: Mapping[str, Artifact], identity: str, stage: str, where: str) -> Artifact:
    """The artifact that settings name at `where`. Raises UserError where it was not given, or is of another stage."""
    if identity not in given:
        raise UserError(f"{where}: {identity} is not among the artifacts given; add --artifact for it")
    if given[identity].manifest["stage"] != stage:
        raise UserError(f"{where}: {identity} is of another stage; name one of stage {stage!r}")
    return given[identity]


def load_manifest(path: Path) -> dict[str, Any]:
    """The manifest of an artifact, unverified. Raises UserError where there is none that can be read."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: is not a complete artifact (no {MANIFEST}); run the stage that makes it") from None
    except (ValueError, NotADirectoryError):
        manifest = None
    if not isinstance(manifest, dict) or not {"stage", "format", "digest", "outputs", "content"} <= manifest.keys():
        raise UserError(f"{path}: its {MANIFEST} is damaged; delete the folder and run its stage again")
    return manifest


def verify(path: Path, *, sizes_only: bool = False) -> list[str]:
    """What is wrong with the files of an artifact, one phrase each; an empty list means that it is whole."""
    manifest = load_manifest(path)
    outputs = manifest["outputs"]

    def fault(item: tuple[str, dict[str, Any]]) -> str | None:
        name, expected = item
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != expected["bytes"]:
            return f"{name} has {file.stat().st_size} bytes instead of {expected['bytes']}"
        if not sizes_only and sha256(file) != expected["sha256"]:
            return f"{name} has another sha256 than its manifest"
        return None

    with ThreadPoolExecutor() as pool:
        faults = [found for found in pool.map(fault, outputs.items()) if found]
    if manifest["content"] != content_hash(outputs):
        faults.append(f"{MANIFEST} has another content than the hashes of its files give")
    return faults


@contextmanager
def writing(
    out: Path, stage: str, settings: Mapping[str, Any], inputs: Mapping[str, Artifact], modules: Collection[str] = ()
) -> Iterator[Draft]:
    """Write an artifact of `stage` to `out`: yields a draft, and makes it the artifact when the block ends well.

    `settings` are the resolved settings of the stage (plain values), `inputs` the verified artifacts read, by role, and
    `modules` those that the stage loads by name, which are part of its code version.
    """
    started = time.time()
    code = provenance.code_version(f"stages.{stage}", *modules)
    own_digest = digest(stage, settings, {role: artifact.digest for role, artifact in inputs.items()})
    _check_folder(out, own_digest)
    draft = Draft(out / DRAFT)
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        shutil.rmtree(draft.path, ignore_errors=True)
        draft.path.mkdir()
        try:
            draft.write_text("config.yaml", yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))
            yield draft
            outputs = {
                file.relative_to(draft.path).as_posix(): _describe(file, file.name not in draft.volatile)
                for file in sorted(draft.path.rglob("*"))
                if file.is_file()
            }
            manifest = {
                "stage": stage,
                "format": FORMATS[stage],
                "name": out.resolve().name,
                "digest": own_digest,
                "content": content_hash(outputs),
                "inputs": {role: _reference(artifact) for role, artifact in inputs.items()},
                "outputs": outputs,
                "seed": draft.seed,
                "code": code,
                **provenance.environment(),
                "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
                "wall_seconds": round(time.time() - started, 3),
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
            _publish(draft.path, out, manifest)
        finally:
            shutil.rmtree(draft.path, ignore_errors=True)


def content_hash(outputs: Mapping[str, Mapping[str, Any]]) -> str:
    """One hash over the deterministic files: equal exactly when two runs agree in every byte that they should."""
    lines = [f"{entry['sha256']}  {name}\n" for name, entry in sorted(outputs.items()) if entry["deterministic"]]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep a second process from writing the same artifact. The system lifts the lock when a process dies, however it dies.

    The lock is on a file of its own, open for writing: NFS locks neither folders nor what is open for reading only.
    """
    descriptor = _lock(out / LOCK)
    try:
        yield
    finally:
        (out / LOCK).unlink(missing_ok=True)
        os.close(descriptor)


def _lock(file: Path) -> int:
    """Lock a file; returns its descriptor. Raises UserError if another process holds it."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UserError(f"{file.parent}: another process is writing this artifact; wait for it to end, or stop it") from None
        except OSError as error:
            log.warning("%s: no locks here (%s); take care that no other process writes this artifact", file, error.strerror)
        if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
            return descriptor
        os.close(descriptor)  # the one who held it before has removed it meanwhile


def _check_folder(out: Path, own_digest: str) -> None:
    """Refuse to write under a folder's name that promises other settings or inputs."""
    promised = re.search(r"-([0-9a-f]{12})$", out.resolve().name)
    if promised and promised[1] != own_digest:
        raise UserError(
            f"{out}: is the folder of an artifact with digest {promised[1]}, but these settings and inputs give {own_digest}; "
            "choose another --out"
        )


def _reference(artifact: Artifact) -> dict[str, str]:
    return {
        "id": artifact.id,
        "digest": artifact.digest,
        "content": artifact.manifest["content"],
        "manifest": sha256(artifact.path / MANIFEST),
    }


def _publish(draft: Path, out: Path, manifest: dict[str, Any]) -> None:
    """Flush the draft's files and rename them into `out`, the manifest last and whatever it doesn't name removed."""
    (draft / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for file in draft.rglob("*"):
        flush(file)
    (out / MANIFEST).unlink(missing_ok=True)
    for name in [*manifest["outputs"], MANIFEST]:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        if name == MANIFEST:
            flush(out)
        (draft / name).replace(out / name)
    flush(out)
    for file in [found for found in out.rglob("*") if found.is_file()]:
        name = file.relative_to(out).as_posix()
        if name not in (MANIFEST, LOCK) and name not in manifest["outputs"] and DRAFT not in file.parts:
            file.unlink()


def flush(path: Path) -> None:
    """Force a file or directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _describe(file: Path, deterministic: bool) -> dict[str, Any]:
    """The manifest's entry of one file: hash and size, and for arrays dtype and shape."""
    entry: dict[str, Any] = {"sha256": sha256(file), "bytes": file.stat().st_size, "deterministic": deterministic}
    if file.suffix == ".npy":
        import numpy

        array = numpy.load(file, mmap_mode="r", allow_pickle=False)
        entry |= {"dtype": str(array.dtype), "shape": list(array.shape)}
    return entry


def find(paths: Iterable[Path]) -> list[Path]:
    """The artifact directories at or below `paths`, those that are not finished included (they hold a config.yaml)."""
    found: set[Path] = set()
    for path in paths:
        found |= {file.parent for name in (MANIFEST, "config.yaml") for file in path.rglob(name)}
    return sorted(folder for folder in found if DRAFT not in folder.parts)


def main(arguments: list[str] | None = None) -> int:
    """`verify PATH...`: one line for every artifact; exit code 0 if all are whole, 2 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m stages.lm.artifacts", description=main.__doc__)
    parser.add_argument("command", choices=["verify"])
    parser.add_argument("paths", nargs="+", type=Path)
    folders = find(parser.parse_args(arguments).paths)
    if not folders:
        print("no artifacts found there; name a folder below results/", file=sys.stderr)
        return 2
    faulty = 0
    for folder in folders:
        try:
            faults = verify(folder)
            count = len(load_manifest(folder)["outputs"])
        except UserError as error:
            faults, count = [str(error).removeprefix(f"{folder}: ")], 0
        faulty += bool(faults)
        print(f"{'damaged' if faults else 'whole  '}  {folder}  {'; '.join(faults) or f'{count} files'}")
    print(f"{len(folders) - faulty} whole, {faulty} damaged or unfinished")
    return 2 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
