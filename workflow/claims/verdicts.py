"""Whether a claim holds: its artifacts and numbers beside those that were found, one by one, with the reason where they part.

What a seed determines has to be equal byte for byte on the same kind of machine: processor and library versions. On another one,
where matrix products are summed in another order, trained weights part after some digits: there a result holds where it lies in
the interval that was claimed with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stages.lm import artifacts, provenance
from stages.lm.lineage.graph import Made
from stages.lm.reporting.cells import Cell, table_text
from workflow.claims.claim import RESULTS, Claim, Measure, files, measures
from workflow.config import read
from workflow.plan import build
from workflow.rounds import on_disk

Verdict = Literal["equal", "holds", "differs", "altered", "missing"]
GOOD: tuple[Verdict, ...] = ("equal", "holds")


@dataclass(frozen=True)
class Row:
    """One thing that was claimed."""

    name: str
    claimed: str
    found: str
    verdict: Verdict
    reason: str = ""


def check(claim: Claim) -> list[Row]:
    """A row for every artifact and every result, in the order in which they are made. Raises UserError for a wrong config."""
    plan = build(read(claim.config), follow=on_disk)
    planned = {node.id for node in plan.nodes.values()}
    parted = dict(_parted(claim))
    here = {identity: _made(identity) for identity in claim.artifacts}
    rows = [_artifact(identity, claim, here, identity in planned, parted) for identity in claim.artifacts]
    rows += [
        Row(f"file {name}", claimed[:12], found[:12], "differs", "the text is another one")
        for name, claimed, found in _texts(claim, here)
    ]
    return rows + list(_results(claim, here, bool(parted)))


def _made(identity: str) -> Made | None:
    folder = RESULTS / identity
    return Made.at(folder) if (folder / artifacts.MANIFEST).is_file() else None


def _parted(claim: Claim) -> Iterator[tuple[str, str]]:
    """In what this machine is of another kind than the one of the claim."""
    here = provenance.environment()
    for name, version in claim.versions.items():
        if here["versions"].get(name) != version:
            yield name, f"{name} {here['versions'].get(name, 'missing')} instead of {version}"
    if here["host"]["cpu"] != claim.machine["cpu"]:
        yield "cpu", f"another processor, {here['host']['cpu']}"


def _artifact(identity: str, claim: Claim, here: Mapping[str, Made | None], is_planned: bool, parted: Mapping[str, str]) -> Row:
    claimed, found = claim.artifacts[identity], here[identity]
    if not is_planned:
        reason = (
            "the claim's own config makes no such artifact: one of the two was changed, or this version of the project is another"
        )
        return Row(identity, claimed.content[:12], "–", "altered", reason)
    if found is None:
        return Row(identity, claimed.content[:12], "–", "missing", "it is not made here")
    content = str(found.manifest["content"])
    if faults := artifacts.verify(found.path):
        return Row(identity, claimed.content[:12], content[:12], "altered", f"{faults[0]}, in {found.path}")
    if content == claimed.content:
        return Row(identity, claimed.content[:12], content[:12], "equal")
    above = [one.title for one in found.inputs.values() if one and _differs(one, claim)]
    if above:
        reason = f"its input {above[0]} differs"
    elif found.manifest["code"] != claimed.code:
        reason = f"code {found.manifest['code']} instead of {claimed.code}"
    else:
        reason = next(iter(parted.values()), "nothing that is recorded: not the same text, or a claim that was changed")
    return Row(identity, claimed.content[:12], content[:12], "holds" if parted else "differs", reason)


def _differs(made: Made, claim: Claim) -> bool:
    claimed = claim.artifacts.get(f"{made.stage}/{made.manifest['name']}")
    return claimed is not None and claimed.content != made.manifest["content"]


def _texts(claim: Claim, here: Mapping[str, Made | None]) -> Iterator[tuple[str, str, str]]:
    """Files with another content than was claimed: name, claimed, found."""
    found = dict(files([made for made in here.values() if made]))
    for name, sha256 in claim.files.items():
        if name in found and found[name] != sha256:
            yield name, sha256, found[name]


def _results(claim: Claim, here: Mapping[str, Made | None], is_other: bool) -> Iterator[Row]:
    experiments = _evaluations(here)
    for experiment, claimed in claim.results.items():
        made = experiments.get(experiment)
        found = dict(measures(made.stats)) if made else {}
        for name, measure in claimed.items():
            yield _result(
                f"{experiment} {name}", measure, found.get(name), made is not None and not _differs(made, claim), is_other
            )


def _evaluations(here: Mapping[str, Made | None]) -> dict[str, Made]:
    """The evaluation of each experiment, as the report among the artifacts names it."""
    report = next((made for made in here.values() if made and made.stage == "report"), None)
    shown: Mapping[str, Any] = report.settings["experiments"] if report else {}
    named = {experiment: here.get(stages["evaluate"]) for experiment, stages in shown.items()}
    return {experiment: made for experiment, made in named.items() if made}


def _result(name: str, claimed: Measure, found: Measure | None, is_claimed_artifact: bool, is_other: bool) -> Row:
    if found is None:
        return Row(name, f"{claimed.value:.6g}", "–", "missing", "it is not measured here")
    shown = (name, f"{claimed.value:.6g}", f"{found.value:.6g}")
    if found == claimed:
        return Row(*shown, "equal")
    if is_claimed_artifact:
        return Row(*shown, "altered", "the very artifact that was claimed holds another number")
    if is_other and claimed.low <= found.value <= claimed.high:
        return Row(*shown, "holds", f"within {claimed.low:.6g} to {claimed.high:.6g}, on another kind of machine")
    return Row(*shown, "differs", "outside the interval that was claimed" if is_other else "on the same kind of machine")


def as_text(rows: list[Row]) -> str:
    """What was found: all results, the artifacts that are not equal, and a last line."""
    shown = [row for row in rows if row.verdict != "equal" or "/" not in row.name]
    cells = [
        {"": Cell(row.name), "claimed": Cell(row.claimed), "found": Cell(row.found), "verdict": Cell(row.verdict)}
        for row in shown
    ]
    table = table_text(cells) if cells else ""
    reasons = [f"{row.name}: {row.reason}" for row in shown if row.reason]
    equal = sum(row.verdict == "equal" and "/" in row.name for row in rows)
    total = sum("/" in row.name and not row.name.startswith("file ") for row in rows)
    failed = [row for row in rows if row.verdict not in GOOD]
    last = "the claim holds" if not failed else f"the claim does not hold, first at {failed[0].name}: {failed[0].reason}"
    return "\n".join([table, *reasons, f"{equal} of {total} artifacts are equal byte for byte; {last}"]) + "\n"
