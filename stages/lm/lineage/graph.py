"""Artifacts and what they were made from, as their manifests tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.lm import artifacts
from stages.lm.artifacts import Artifact
from stages.lm.errors import UserError


@dataclass(frozen=True)
class Made(Artifact):
    """An artifact on disk, unverified: to look at what it says of itself."""

    @classmethod
    def at(cls, path: Path) -> "Made":
        """Raises UserError where there is no artifact."""
        return cls(path, artifacts.load_manifest(path))

    @classmethod
    def around(cls, file: Path) -> "Made":
        """The artifact that a file or folder belongs to. Raises UserError for one that belongs to none."""
        if not file.exists():
            raise UserError(f"{file}: no such file or folder; name an artifact in results/, or a file of one")
        whole = file.resolve()
        for folder in (whole, *whole.parents):
            if (folder / artifacts.MANIFEST).is_file():
                return cls.at(_seen_from_here(folder))
        raise UserError(f"{file}: is no part of an artifact; name a folder in results/<stage>/, or a file in one")

    @property
    def stage(self) -> str:
        return str(self.manifest["stage"])

    @property
    def title(self) -> str:
        """Its name without the digest."""
        return artifacts.title(str(self.manifest["name"]))

    @property
    def content(self) -> str:
        """A hash over all its files that a seed determines."""
        return str(self.manifest["content"])

    @cached_property
    def stats(self) -> Any:
        """Its numbers; empty where it has none."""
        return self.json("stats.json") if "stats.json" in self.manifest["outputs"] else {}

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The files outside the project that a corpus was read from: name, bytes, sha256."""
        return list(self.stats.get("files", [])) if self.stage == "corpus" else []

    @cached_property
    def inputs(self) -> dict[str, "Made | None"]:
        """The artifacts that it was made from, by role; None for one that is not in the same results/ any more."""
        results = _seen_from_here(self.path.resolve().parents[1])
        folders = {role: results / entry["id"] for role, entry in self.manifest["inputs"].items()}
        return {role: Made.at(path) if (path / artifacts.MANIFEST).is_file() else None for role, path in folders.items()}

    def is_as_used(self, role: str) -> bool:
        """Whether an input still holds what this artifact was made from."""
        found = self.inputs[role]
        return found is not None and found.content == self.manifest["inputs"][role]["content"]


def _seen_from_here(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def upwards(made: Made) -> Iterator[Made]:
    """All artifacts that one goes back to and the artifact itself, each once and behind what it was made from."""
    seen: set[str] = set()

    def walk(one: Made) -> Iterator[Made]:
        if one.digest in seen:
            return
        seen.add(one.digest)
        for above in one.inputs.values():
            if above is not None:
                yield from walk(above)
        yield one

    return walk(made)
