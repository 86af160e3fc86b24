"""Artifacts and what they were made from, as their manifests tell."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from stages.lm import artifacts
from stages.lm.errors import UserError


@dataclass(frozen=True)
class Made:
    """An artifact on disk, unverified: to look at what it says of itself."""

    path: Path
    manifest: dict[str, Any]

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

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The resolved settings that made it."""
        return dict(yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8")))

    @cached_property
    def stats(self) -> Any:
        """Its numbers; empty where it has none."""
        file = self.path / "stats.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    @cached_property
    def inputs(self) -> dict[str, "Made | None"]:
        """The artifacts that it was made from, by role; None for one that is not in the same results/ any more."""
        results = _seen_from_here(self.path.resolve().parents[1])
        folders = {role: results / entry["id"] for role, entry in self.manifest["inputs"].items()}
        return {role: Made.at(path) if (path / artifacts.MANIFEST).is_file() else None for role, path in folders.items()}

    def is_as_used(self, role: str) -> bool:
        """Whether an input still holds what this artifact was made from."""
        found = self.inputs[role]
        return found is not None and found.manifest["content"] == self.manifest["inputs"][role]["content"]


def _seen_from_here(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def upwards(made: Made) -> Iterator[Made]:
    """All artifacts that one goes back to and the artifact itself, each once and behind what it was made from."""
    seen: set[str] = set()

    def walk(one: Made) -> Iterator[Made]:
        if one.manifest["digest"] in seen:
            return
        seen.add(one.manifest["digest"])
        for above in one.inputs.values():
            if above is not None:
                yield from walk(above)
        yield one

    return walk(made)
