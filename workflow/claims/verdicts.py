"""Whether a claim holds: its artifacts and numbers beside those that were found, one by one, with the reason where they part.

What a seed determines has to be equal byte for byte on the same kind of machine: processor, GPU, versions of what computes.
On another one, where matrix products are summed in another order, trained weights part after some digits: there a result holds
where each value lies in the interval of the other. Whatever the claim leaves out of what its own config makes counts against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

from stages.lm import artifacts
from stages.lm.lineage.graph import Made, upwards
from stages.lm.reporting.cells import Cell, table_text
from workflow.claims.claim import Claim, Content, Measure, content, evaluations, files, measures, report_of
from workflow.config import Config
from workflow.nodes import Plan
from workflow.plan import build
from workflow.reading import read
from workflow.rounds import on_disk

Verdict = Literal["equal", "holds", "differs", "altered", "missing"]
GOOD: tuple[Verdict, ...] = ("equal", "holds")

EXACT = ("corpus", "bpe", "tokenize")
"""Stages that compute with whole numbers and text alone: their bytes are the same on every machine."""

ROUNDS = ("trial", "sweep", "scaling", "report")
"""Stages whose artifacts depend on losses by their very names, where a search or a study goes in rounds."""

LEFT_OUT = "the claim leaves it out"


@dataclass(frozen=True)
class Row:
    """One thing that was claimed, or should have been."""

    kind: Literal["file", "artifact", "result"]
    name: str
    claimed: str
    found: str
    verdict: Verdict
    reason: str = ""


def check(claim: Claim) -> list[Row]:
    """A row for every file, artifact and result, inputs before what is made of them. Raises UserError for a bad config."""
    judge = judge_of(claim)
    return [*judge.files(), *judge.artifacts(), *judge.results()]


def judge_of(claim: Claim, came_with_it: bool = False) -> "Judge":
    """A claim beside what is here of its config: made here, or what came with the claim."""
    config = read(claim.config)
    return Judge(claim, build(config, follow=on_disk), config, came_with_it)


class Judge:
    """A claim, and what is found here."""

    def __init__(self, claim: Claim, plan: Plan, config: Config, came_with_it: bool = False) -> None:
        self.claim, self.plan, self.config, self.came_with_it = claim, plan, config, came_with_it
        report = report_of(plan)
        made = upwards(report) if report else (Made.at(node.path) for node in plan.nodes.values() if node.is_made)
        self.here = {one.id: one for one in made}
        self.planned = {node.id for node in plan.nodes.values()} | self.here.keys()
        self.has_rounds = any(not search.is_settled for search in config.searches.values()) or bool(config.scalings)

    @cached_property
    def other(self) -> set[str]:
        """The artifacts that were made on another kind of machine than claimed, or from such; none of those that came with it."""
        found: set[str] = set()
        if self.came_with_it:
            return found
        for name, made in self.here.items():
            claimed = self.claim.artifacts.get(name)
            above = {entry["id"] for entry in made.manifest["inputs"].values()}
            if above & found or (claimed and claimed.machine != content(made).machine):
                found.add(name)
        return found

    def files(self) -> Iterator[Row]:
        found = files(self.config, self.plan, list(self.here.values()))
        for name in dict.fromkeys([*self.claim.files, *found]):
            claimed, here = self.claim.files.get(name), found.get(name)
            if claimed is None or here is None:
                reason = LEFT_OUT if claimed is None else "it is not here"
                yield Row("file", name, _short(claimed), _short(here), "missing", reason)
            elif claimed != here:
                yield Row("file", name, _short(claimed), _short(here), "differs", "it is another one than was claimed")
            else:
                yield Row("file", name, _short(claimed), _short(here), "equal")

    def artifacts(self) -> Iterator[Row]:
        yield from (self.artifact(name, claimed) for name, claimed in self.claim.artifacts.items())
        for name, made in self.here.items():
            if name not in self.claim.artifacts:
                here, tolerated = _short(content(made).content), self.is_of_rounds(made.stage)
                reason = "a search went another way here" if tolerated else LEFT_OUT
                yield Row("artifact", name, "–", here, "holds" if tolerated else "missing", reason)
        for node in self.plan.nodes.values():
            if node.id not in self.claim.artifacts and not node.is_made:
                yield Row("artifact", node.id, "–", "–", "missing", "it is neither claimed nor made here")
        if not self.plan.is_whole:
            yield Row("artifact", "report", "–", "–", "missing", "rounds that decide what it holds are not made here")

    def is_of_rounds(self, stage: str) -> bool:
        """Whether an artifact may bear another name here, because losses decided what was tried."""
        return self.has_rounds and stage in ROUNDS and bool(self.other)

    def artifact(self, name: str, claimed: Content) -> Row:
        stage, made = name.partition("/")[0], self.here.get(name)
        if made is None or name not in self.planned:
            if self.is_of_rounds(stage):
                return Row("artifact", name, _short(claimed.content), "–", "holds", "a search went another way here")
            if name in self.planned:
                return Row("artifact", name, _short(claimed.content), "–", "missing", "it is not made here")
            reason = (
                "the claim's own config makes no such artifact: one of the two was changed, or the project is of another version"
            )
            return Row("artifact", name, _short(claimed.content), "–", "altered", reason)
        found = content(made)
        row = partial(Row, "artifact", name, _short(claimed.content), _short(found.content))
        if faults := artifacts.verify(made.path):
            return row("altered", f"{faults[0]}, in {made.path}")
        if found.content == claimed.content:
            return row("equal")
        inputs = [one for one in made.inputs.values() if one and self.differs(one)]
        if not inputs and found.code != claimed.code:
            return row("differs", f"code {found.code} instead of {claimed.code}")
        reason = f"its input {inputs[0].stage} {inputs[0].title} differs" if inputs else "nothing that is recorded explains it"
        if stage not in EXACT and name in self.other:
            return row("holds", reason if inputs else f"another kind of machine: {_parted(claimed.machine, found.machine)}")
        return row("differs", reason)

    def differs(self, made: Made) -> bool:
        claimed = self.claim.artifacts.get(made.id)
        return claimed is not None and claimed.content != made.content

    def results(self) -> Iterator[Row]:
        made = dict(evaluations(self.plan))
        for experiment in dict.fromkeys([*self.claim.results, *made]):
            evaluated = made.get(experiment)
            found = dict(measures(evaluated.stats)) if evaluated else {}
            claimed = self.claim.results.get(experiment, {})
            for name in dict.fromkeys([*claimed, *found]):
                yield self.result(f"{experiment} {name}", claimed.get(name), found.get(name), evaluated)

    def result(self, name: str, claimed: Measure | None, found: Measure | None, evaluated: Made | None) -> Row:
        values = f"{claimed.value:.6g}" if claimed else "–", f"{found.value:.6g}" if found else "–"
        row = partial(Row, "result", name, *values)
        if claimed is None or found is None or evaluated is None:
            return row("missing", LEFT_OUT if claimed is None else "it is not measured here")
        if repr(found) == repr(claimed):  # as text, where what is not a number equals itself
            return row("equal")
        if not self.differs(evaluated):
            return row("altered", "the very artifact that was claimed holds another number")
        if evaluated.id not in self.other:
            return row("differs", "on the same kind of machine")
        if claimed.holds_beside(found):
            return row("holds", "each lies in the interval of the other, on another kind of machine")
        intervals = " and ".join(f"{measure.low:.6g} to {measure.high:.6g}" for measure in (found, claimed))
        return row("differs", f"not within {intervals}")


def as_text(rows: list[Row]) -> str:
    """What was found: all results, what is not equal of the rest, and a last line."""
    shown = [row for row in rows if row.verdict != "equal" or row.kind == "result"]
    cells = [
        {"": Cell(row.name), "claimed": Cell(row.claimed), "found": Cell(row.found), "verdict": Cell(row.verdict)}
        for row in shown
    ]
    table = table_text(cells) if cells else ""
    reasons = [f"{row.name}: {row.reason}" for row in shown if row.reason]
    made = [row for row in rows if row.kind == "artifact"]
    equal = sum(row.verdict == "equal" for row in made)
    failed = [row for row in rows if row.verdict not in GOOD]
    if failed:
        verdict = "is not shown to hold" if all(row.verdict == "missing" for row in failed) else "does not hold"
        last = f"the claim {verdict}, first at {failed[0].name}: {failed[0].reason}"
    else:
        last = "the claim holds"
    return "\n".join([table, *reasons, f"{equal} of {len(made)} artifacts are equal byte for byte; {last}"]) + "\n"


def _parted(claimed: str, found: str) -> str:
    """What differs between two kinds of machines."""
    old, new = claimed.split(", "), found.split(", ")
    return f"{', '.join(part for part in new if part not in old)} instead of {', '.join(part for part in old if part not in new)}"


def _short(text: str | None) -> str:
    return "–" if text is None else text[:12]
