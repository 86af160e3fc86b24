"""Why two runs differ: settings, inputs, code, versions and machines, and what came of it, from the first cause on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lm.errors import UserError
from stages.lm.lineage.graph import Made, upwards
from stages.lm.lineage.why import flat, is_id

ABSENT = "(none)"


@dataclass(frozen=True)
class Change:
    """One thing that differs between two artifacts."""

    kind: str
    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        growth = ""
        if _is_number(self.old) and _is_number(self.new) and self.kind == "number" and self.old:
            growth = f" ({100 * (self.new - self.old) / abs(self.old):+.2f} %)"
        return f"{self.kind:<9}{self.name}: {_short(self.old)} -> {_short(self.new)}{growth}"


@dataclass(frozen=True)
class Pair:
    """An artifact of the first run, and what stands for it in the second."""

    first: Made
    second: Made

    @property
    def name(self) -> str:
        return f"{self.first.stage} {self.first.title}"

    @property
    def is_same(self) -> bool:
        """Whether all that a seed determines is equal byte for byte."""
        return self.first.content == self.second.content

    def causes(self) -> list[Change]:
        """What differs of what an artifact is made from, its inputs aside."""
        one, other = self.first.manifest, self.second.manifest
        found = list(_changes("setting", _settings(self.first), _settings(self.second)))
        found += _changes("seed", {"seed": one["seed"]}, {"seed": other["seed"]})
        found += _changes("file", _sources(self.first), _sources(self.second))
        found += _changes("code", {f"stages.{self.first.stage}": one["code"]}, {f"stages.{self.first.stage}": other["code"]})
        found += _changes("version", one["versions"], other["versions"])
        shown = ("cpu", "gpu", "cores", "system")  # gpu: where one was used
        hosts = ({key: made["host"][key] for key in shown if key in made["host"]} for made in (one, other))
        found += _changes("machine", *hosts)
        return found

    def effects(self) -> list[Change]:
        """What differs of its numbers."""
        return list(_changes("number", dict(flat(self.first.stats)), dict(flat(self.second.stats))))


def pairs(first: Made, second: Made) -> tuple[list[Pair], list[Made], list[Made]]:
    """What stands for each other in two runs, inputs before what is made of them; and what only one of them has.

    Two artifacts stand for each other where stage and name are equal: first those that are the same anyway, then the others in
    their order. Raises UserError where the two are of different stages.
    """
    if first.stage != second.stage:
        raise UserError(
            f"{first.path} is of stage {first.stage}, {second.path} of stage {second.stage}; compare two of one stage"
        )
    waiting = [one for one in upwards(second) if one.path != second.path]
    found, only = list[Pair](), list[Made]()
    for one in upwards(first):
        if one.path == first.path:
            continue
        alike = [other for other in waiting if (other.stage, other.title) == (one.stage, one.title)]
        same = [other for other in alike if other.digest == one.digest]
        if alike:
            other = (same or alike)[0]
            waiting.remove(other)
            found.append(Pair(one, other))
        else:
            only.append(one)
    return [*found, Pair(first, second)], only, waiting


def diff(first: Path, second: Path) -> tuple[str, bool]:
    """What differs between two artifacts and all that they go back to, as text; and whether anything does that a seed determines.

    Raises UserError for paths that are no artifacts of one stage.
    """
    found, only_first, only_second = pairs(Made.around(first), Made.around(second))
    parted = [pair for pair in found if not pair.is_same]
    lines = [line for pair in parted for line in _told(pair, parted)]
    lines += [f"only the first has {one.stage} {one.title}" for one in only_first]
    lines += [f"only the second has {one.stage} {one.title}" for one in only_second]
    head = [f"{len(found) - len(parted)} of {len(found)} artifacts are equal byte for byte"]
    if parted:
        head.append(f"the first that differs: {parted[0].name}, by {_cause(parted[0], [*only_first, *only_second])}")
    return "\n".join([*head, *([""] if lines else []), *lines]) + "\n", bool(lines)


def _told(pair: Pair, parted: list[Pair]) -> Iterator[str]:
    """An artifact that differs: why, and what came of it."""
    yield f"{pair.name}: {pair.first.path} -> {pair.second.path}"
    above = {one.digest for one in pair.first.inputs.values() if one}
    yield from (f"  input    {one.name}" for one in parted if one.first.digest in above)
    yield from (f"  {change}" for change in [*pair.causes(), *pair.effects()])


def _cause(pair: Pair, unpaired: list[Made]) -> str:
    """Why an artifact differs whose inputs that both runs have are equal; `unpaired` are those that only one of the runs has."""
    causes = pair.causes()
    used = {one.digest for made in (pair.first, pair.second) for one in made.inputs.values() if one}
    unpaired = [one for one in unpaired if one.digest in used]
    if not causes and unpaired:
        return f"{unpaired[0].stage} {unpaired[0].title}, which only one of the two has"
    if not causes:
        return "nothing that is recorded: a library, kernel or thread that does not repeat itself"
    first = causes[0]
    return f"its {first.kind} {first.name}"


def _changes(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys([*old, *new]):
        one, other = old.get(name, ABSENT), new.get(name, ABSENT)
        if one != other:
            yield Change(kind, name, one, other)


def _settings(made: Made) -> dict[str, Any]:
    return {key: value for key, value in flat(made.settings) if not is_id(value)}


def _sources(made: Made) -> dict[str, str]:
    return {file["name"]: file["sha256"] for file in made.sources}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
