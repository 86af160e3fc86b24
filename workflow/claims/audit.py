"""A claim held against the artifacts that came with it, without training anew: every model is measured again, and stretches of
its training are taken again.

A stretch begins at step 0 or at a checkpoint that the training has left (`execution: {milestone_every: N}`) and goes on to the
next one, where it has to come to the same weights and optimizer, or from the last one to the end, where it has to come to the
model that was claimed. So whoever trained in another way has parted from what was claimed somewhere, and the more stretches are
taken, the likelier it is seen; all of them are the whole training. Without checkpoints no training is shown to end as claimed.

On another kind of machine than the claimed one, bytes differ: there metrics have to be near, and each result has to lie in the
interval of the other. That is weaker, and for the claimant to choose: audit on the kind of machine that you trust.
"""

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stages.lm import children
from stages.lm.artifacts import sha256
from stages.lm.lineage.graph import Made
from workflow.claims.claim import Claim, Measure, content, kind_here, measures
from workflow.claims.verdicts import Judge, Row, judge_of
from workflow.nodes import Node

METRICS = "metrics.jsonl"
TOLERANCE = 0.01
"""By which share losses and norms may differ on another kind of machine."""


class Stretch(NamedTuple):
    """Steps of a training: those after `begin`, up to `end`."""

    begin: int
    end: int
    checkpoint: Path | None
    """Where it stood after `begin`; None at the beginning."""
    arrival: Path | None = None
    """Where it stood after `end`; None where no checkpoint says so."""


class Taken(NamedTuple):
    """What came of a stretch that was taken again."""

    ended: children.Ended
    metrics: list[dict[str, Any]]
    model: str | None
    """The content of the artifact, where the training is finished."""
    arrival: dict[str, str]
    """Hashes of the checkpoint after it."""


def audit(claim: Claim, stretches: int, seed: int, runs_variants: bool = True) -> Iterator[Row]:
    """What `verdicts.check` finds of the claim, and for every experiment its results measured again and steps taken again.

    stretches: of each training, drawn by `seed` from those that there are; runs_variants: whether code in a variant's file is run
    too, or such experiments are left with what the check says.
    """
    judge = judge_of(claim, came_with_it=True)
    yield from (*judge.files(), *judge.artifacts(), *judge.results())
    for name, nodes in judge.plan.experiments.items():
        trained, evaluated = nodes["train"], nodes["evaluate"]
        if trained.settings["model"]["family"] == "huggingface" and not runs_variants:
            continue
        if evaluated.is_made:
            yield from measured_again(name, evaluated, judge)
        if trained.is_made and (trained.path / METRICS).stat().st_size and stretches:
            yield from trained_again(name, trained, stretches, random.Random(f"{seed} {name}"), judge)


def measured_again(name: str, evaluated: Node, judge: Judge) -> Iterator[Row]:
    """A row for every result of an experiment that was claimed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / evaluated.folder
        ended = again(evaluated, evaluated.command(out))
        found = dict(measures(json.loads((out / "stats.json").read_text(encoding="utf-8")))) if not ended.code else {}
    elsewhere = is_elsewhere(evaluated, judge)
    for measure, claimed in judge.claim.results.get(name, {}).items():
        yield _measured(f"{name} {measure}, again", claimed, found.get(measure), ended.last_line, elsewhere)


def _measured(name: str, claimed: Measure, found: Measure | None, said: str, elsewhere: bool) -> Row:
    if found is None:
        return Row("result", name, f"{claimed.value:.6g}", "–", "differs", f"cannot be measured again: {said}")
    shown = f"{claimed.value:.6g}", f"{found.value:.6g}"
    if repr(found) == repr(claimed):
        return Row("result", name, *shown, "equal")
    if elsewhere and claimed.holds_beside(found):
        return Row("result", name, *shown, "holds", "each lies in the interval of the other, on another kind of machine")
    return Row("result", name, *shown, "differs", "the model that was claimed does not reach it")


def is_elsewhere(node: Node, judge: Judge) -> bool:
    """Whether a training or an evaluation was made on another kind of machine than this one, as its claim says."""
    claimed, settings = judge.claim.artifacts.get(node.id), node.settings.get("training", node.settings)
    return claimed is not None and claimed.machine != kind_here(settings.get("device", "cpu"))


def trained_again(name: str, trained: Node, count: int, chance: random.Random, judge: Judge) -> Iterator[Row]:
    """A row for each of `count` stretches of a training, and one where none of them leads to its end."""
    processes = judge.config.execution.spread(judge.config.experiments[name]).processes
    chosen = drawn(stretches_of(trained), count, chance)
    yield from (taken_again(name, trained, stretch, processes, judge) for stretch in chosen)
    steps = int(trained.settings["training"]["steps"])
    if chosen[-1].end < steps:
        reason = "no checkpoint came with the claim that leads to it; `execution: {milestone_every: N}` keeps some"
        yield Row("result", f"{name}, step {steps}, again", "–", "–", "missing", reason)


def stretches_of(trained: Node) -> list[Stretch]:
    """What can be taken again of a training, in its order: without checkpoints no more than its first line of metrics."""
    steps, every = (int(trained.settings["training"][key]) for key in ("steps", "log_every"))
    folders = sorted((Path("state") / "train" / trained.folder).glob("step-*"))
    reached = {int(folder.name.removeprefix("step-")): folder for folder in folders}
    checkpoints: dict[int, Path | None] = {0: None, **{step: folder for step, folder in reached.items() if step < steps}}
    if len(checkpoints) == 1:
        return [Stretch(0, min(steps, every), None)]
    ends = [*checkpoints, steps]
    return [Stretch(begin, end, checkpoints[begin], checkpoints.get(end)) for begin, end in pairwise(ends)]


def drawn(stretches: list[Stretch], count: int, chance: random.Random) -> list[Stretch]:
    """So many of them, the last in any case."""
    *others, last = stretches
    return [*sorted(chance.sample(others, min(len(others), max(0, count - 1)))), last]


def taken_again(name: str, trained: Node, stretch: Stretch, processes: int, judge: Judge) -> Row:
    """Whether the steps of a stretch write the same metrics, and come to the same weights."""
    taken = take(trained, stretch, processes)
    said, elsewhere = lines(trained.path, stretch), is_elsewhere(trained, judge)
    what = f"{name}, steps {stretch.begin + 1} to {stretch.end}, again"
    row = partial(Row, "result", what, _losses(said), _losses(taken.metrics))
    if taken.ended.code or not taken.metrics:
        return row("differs", f"cannot be taken again: {taken.ended.last_line}")
    if elsewhere:
        near = close(taken.metrics, said)
        reason = f"{'' if near else 'not '}within {TOLERANCE:.0%}, on another kind of machine"
        return row("holds" if near else "differs", reason)
    if taken.metrics != said:
        return row("differs", "the training that was claimed does not go on like this")
    if taken.arrival != hashes(stretch.arrival):
        return row("differs", "the training that was claimed does not come to its next checkpoint")
    claimed = judge.claim.artifacts.get(trained.id)
    if taken.model is not None and claimed is not None and taken.model != claimed.content:
        return row("differs", "the training ends in another model")
    return row("equal", "" if taken.model is None else "it ends in the model that was claimed")


def take(trained: Node, stretch: Stretch, processes: int) -> Taken:
    """Take a stretch again, by as many processes as the claimed ones, among which sums are rounded; all are on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        state, out = Path(folder) / "state", Path(folder) / trained.folder
        if stretch.checkpoint is not None:
            shutil.copytree(stretch.checkpoint, state / stretch.checkpoint.name)
            for kept in stretch.checkpoint.parent.glob("*.json"):  # what the run has chosen
                shutil.copy(kept, state)
        command = [*trained.command(out), "--state", str(state), "--pause-at", str(stretch.end)]
        ended = again(trained, command, processes)
        is_finished = (out / "manifest.json").exists()
        metrics = lines(out if is_finished else state, stretch)
        arrival = hashes(state / stretch.arrival.name if stretch.arrival else None)
        return Taken(ended, metrics, content(Made.at(out)).content if is_finished else None, arrival)


def hashes(checkpoint: Path | None) -> dict[str, str]:
    """Those of the weights, optimizer and generators in a checkpoint, by file."""
    return {file.name: sha256(file) for file in sorted(checkpoint.glob("*.safetensors"))} if checkpoint else {}


def again(node: Node, command: list[str], processes: int = 1) -> children.Ended:
    """Run a stage anew, on the settings of the claim's config: those in the artifact are whatever its maker wrote there."""
    launched = ["-m", "workflow.launch", "--processes", str(processes), "--", *command] if processes > 1 else command[1:]
    return children.run([sys.executable, *launched], yaml.safe_dump(dict(node.settings)))


def lines(folder: Path, stretch: Stretch) -> list[dict[str, Any]]:
    """The metrics of the steps of a stretch, in a folder that has them."""
    file = folder / METRICS
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    return [line for line in found if stretch.begin < line["step"] <= stretch.end]


def close(found: list[dict[str, Any]], claimed: list[dict[str, Any]]) -> bool:
    """Whether all numbers are nearly the same."""
    pairs = [(one, other) for one, other in zip(found, claimed, strict=False) if one.keys() == other.keys()]
    numbers = [(one[key], other[key]) for one, other in pairs for key in one if isinstance(one[key], int | float)]
    return len(pairs) == len(found) == len(claimed) and all(abs(one - other) <= TOLERANCE * abs(other) for one, other in numbers)


def _losses(found: list[dict[str, Any]]) -> str:
    """The last loss among metrics."""
    losses = [line["loss"] for line in found if "loss" in line]
    return f"{losses[-1]:.6g}" if losses else "–"
