"""A claim held against the artifacts that came with it, without training anew: every model is measured again, and stretches of
its training are taken again.

A stretch begins at step 0 or at a checkpoint that the training has left (`execution: {milestone_every: N}`) and goes on to the
next line of the metrics, or from the last checkpoint to the end: then it has to end in the very model that was claimed. Who made
a model in another way than was claimed, or rounded a number up wherever it stands, cannot make these come out equal.
"""

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stages.lm import children
from stages.lm.lineage.graph import Made
from workflow.claims.claim import Claim, Measure, content, measures
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


def audit(claim: Claim, stretches: int, seed: int) -> Iterator[Row]:
    """What `verdicts.check` finds of the claim, and for every experiment its results measured again and steps taken again.

    stretches: of each training, drawn by `seed` from those that there are.
    """
    judge = judge_of(claim)
    yield from (*judge.files(), *judge.artifacts(), *judge.results())
    for name, nodes in judge.plan.experiments.items():
        trained, evaluated = nodes["train"], nodes["evaluate"]
        if evaluated.is_made:
            yield from measured_again(name, evaluated, judge)
        if trained.is_made and (trained.path / METRICS).stat().st_size:
            chosen = drawn(stretches_of(trained), stretches, random.Random(f"{seed} {name}"))
            processes = judge.config.execution.spread(judge.config.experiments[name]).processes
            yield from (taken_again(name, trained, stretch, processes, judge) for stretch in chosen)


def measured_again(name: str, evaluated: Node, judge: Judge) -> Iterator[Row]:
    """A row for every result of an experiment that was claimed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / evaluated.folder
        ended = again(evaluated, evaluated.command(out))
        found = dict(measures(json.loads((out / "stats.json").read_text(encoding="utf-8")))) if not ended.code else {}
    for measure, claimed in judge.claim.results.get(name, {}).items():
        yield _measured(f"{name} {measure}, again", claimed, found.get(measure), ended.last_line, evaluated.id in judge.other)


def _measured(name: str, claimed: Measure, found: Measure | None, said: str, elsewhere: bool) -> Row:
    if found is None:
        return Row("result", name, f"{claimed.value:.6g}", "–", "differs", f"cannot be measured again: {said}")
    shown = f"{claimed.value:.6g}", f"{found.value:.6g}"
    if repr(found) == repr(claimed):
        return Row("result", name, *shown, "equal")
    if elsewhere and claimed.low <= found.value <= claimed.high:
        return Row("result", name, *shown, "holds", "within the claimed interval, on another kind of machine")
    return Row("result", name, *shown, "differs", "the model that was claimed does not reach it")


def stretches_of(trained: Node) -> list[Stretch]:
    """What can be taken again of a training, the one that leads to its end last."""
    steps, every = (int(trained.settings["training"][key]) for key in ("steps", "log_every"))
    checkpoints: dict[int, Path | None] = {0: None}
    for folder in sorted((Path("state") / "train" / trained.folder).glob("step-*")):
        step = int(folder.name.removeprefix("step-"))
        if step < steps:
            checkpoints[step] = folder
    last = max(checkpoints)
    found = [Stretch(step, min(steps, step + every - step % every), path) for step, path in checkpoints.items() if step != last]
    return [*found, Stretch(last, steps if last else min(steps, every), checkpoints[last])]


def drawn(stretches: list[Stretch], count: int, chance: random.Random) -> list[Stretch]:
    """So many of them, the last in any case."""
    *others, last = stretches
    return [*sorted(chance.sample(others, min(len(others), max(0, count - 1)))), last]


def taken_again(name: str, trained: Node, stretch: Stretch, processes: int, judge: Judge) -> Row:
    """Whether the steps of a stretch write the same metrics, and in the end the same model.

    They are taken by as many processes as the claimed ones, among which sums are rounded, all of them on this machine.
    """
    claimed = judge.claim.artifacts.get(trained.id)
    with tempfile.TemporaryDirectory() as folder:
        state, out = Path(folder) / "state", Path(folder) / trained.folder
        if stretch.checkpoint is not None:
            shutil.copytree(stretch.checkpoint, state / stretch.checkpoint.name)
            for kept in stretch.checkpoint.parent.glob("*.json"):  # what the run has chosen
                shutil.copy(kept, state)
        command = [*trained.command(out), "--state", str(state), "--pause-at", str(stretch.end)]
        ended = again(trained, command, processes)
        is_finished = (out / "manifest.json").exists()
        found = lines(out if is_finished else state, stretch)
        model = content(Made.at(out)).content if is_finished else None
    said = lines(trained.path, stretch)
    what = f"{name}, steps {stretch.begin + 1} to {stretch.end}, again"
    shown = _losses(said), _losses(found)
    if ended.code or not found:
        return Row("result", what, *shown, "differs", f"cannot be taken again: {ended.last_line}")
    elsewhere = trained.id in judge.other
    if found != said and not (elsewhere and close(found, said)):
        return Row("result", what, *shown, "differs", "the training that was claimed does not go on like this")
    if model is not None and claimed is not None and model != claimed.content and not elsewhere:
        return Row("result", what, claimed.content[:12], model[:12], "differs", "the training ends in another model")
    if found != said:
        return Row("result", what, *shown, "holds", f"within {TOLERANCE:.0%}, on another kind of machine")
    return Row("result", what, *shown, "equal", "" if model is None else "it ends in the model that was claimed")


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
