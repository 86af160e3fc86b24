"""What made a file: stage, settings, code, machine, and everything that it goes back to, down to the text."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.lm import artifacts
from stages.lm.lineage.graph import Made, upwards
from stages.lm.nested import leaves

SHORT = 12
"""So many digits of a hash are shown."""


def why(file: Path) -> str:
    """A page of text about an artifact or a file of one. Raises UserError for any other file."""
    made = Made.around(file)
    name = file.resolve().relative_to(made.path.resolve()).as_posix()
    lines = [*(_file(made, name) if name in made.manifest["outputs"] else []), *_artifact(made), "", "from"]
    lines += [f"  {line}" for line in _inputs(made, set())] or ["  nothing: it is where the line begins"]
    return "\n".join([*lines, *_sources(made)]) + "\n"


def _file(made: Made, name: str) -> list[str]:
    output = made.manifest["outputs"][name]
    kept = artifacts.sha256(made.path / name) == output["sha256"]
    nature = "settings, inputs and code determine it" if output["deterministic"] else "it holds what a clock measured"
    state = f"sha256 {output['sha256']}" if kept else f"ALTERED: it was written with sha256 {output['sha256']}"
    return [str(made.path / name), f"  {output['bytes']:,} bytes; {nature}", f"  {state}", ""]


def _artifact(made: Made) -> list[str]:
    manifest = made.manifest
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    host = manifest["host"]
    seed = "" if manifest["seed"] is None else f", seed {manifest['seed']}"
    return [
        str(made.path),
        f"  made by stages.{made.stage} on {manifest['started']}, in {manifest['wall_seconds']:,.1f} s",
        f"  code {manifest['code']}{seed}, content {made.content[:SHORT]}",
        f"  {versions}",
        f"  {host['cpu']}, {host['cores']} cores, {host['system']}{', ' + host['gpu'] if 'gpu' in host else ''}",
        "  settings:",
        *(f"    {key}: {value}" for key, value in flat(made.settings) if not is_id(value)),
    ]


def _inputs(made: Made, seen: set[str]) -> Iterator[str]:
    """A tree of what it was made from; what stands above already is only named."""
    for role, entry in made.manifest["inputs"].items():
        above = made.inputs[role]
        said = "" if role == entry["id"] else f"{role}: "
        if above is None:
            yield f"{said}{entry['id']}: is not here any more; its content was {entry['content'][:SHORT]}"
            continue
        altered = "" if made.is_as_used(role) else f"; MADE AGAIN since: its content was {entry['content'][:SHORT]}"
        again = entry["digest"] in seen
        seen.add(entry["digest"])
        yield f"{said}{entry['id']}: content {above.content[:SHORT]}{' (as above)' if again else ''}{altered}"
        if not again:
            yield from (f"  {line}" for line in _inputs(above, seen))


def _sources(made: Made) -> Iterator[str]:
    """The files outside the project that the corpora were read from."""
    files = [file for one in upwards(made) for file in one.sources]
    if files:
        yield ""
        yield "and these files"
        yield from (f"  {file['name']}: {file['bytes']:,} bytes, sha256 {file['sha256']}" for file in files)


def flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings and lists by their dotted paths; a list of plain values is a leaf."""
    for path, value in leaves(values):
        named = _labelled(value) if isinstance(value, list) else None
        yield from ((f"{path}.{below}", leaf) for below, leaf in flat(named)) if named else [(path, value)]


def _labelled(values: list[Any]) -> dict[str, Any] | None:
    """The mappings in a list by the names that they have, or else by their places; None for other lists."""
    if not all(isinstance(value, dict) for value in values):
        return None
    for key in ("experiment", "name", "step", "trial"):
        named = {str(value[key]): value for value in values if key in value}
        if len(named) == len(values):
            return named
    return {str(place): value for place, value in enumerate(values)}


def is_id(value: Any) -> bool:
    """Whether a setting only names an artifact: the inputs tell more of it."""
    stage, slash, name = str(value).partition("/")
    return bool(slash) and stage in artifacts.FORMATS and artifacts.title(name) != name
