"""What a claim holds, and how one is written from a finished run."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from stages.lm import script
from stages.lm.artifacts import verify
from stages.lm.errors import UserError
from stages.lm.lineage.graph import Made, upwards
from stages.lm.settings import Settings, explain
from workflow.config import read
from workflow.plan import build
from workflow.rounds import on_disk

RESULTS = Path("results")


class Measure(Settings):
    """A result with its interval over what was evaluated."""

    value: float
    low: float
    high: float


class Content(Settings):
    """An artifact: what is in it, and the version of the code that made it."""

    content: str
    """A hash over all files that a seed determines."""
    code: str


class Claim(Settings):
    """What a run found, and all that is needed to try it again."""

    claim: Literal[1]
    """The version of this format."""
    config: dict[str, Any]
    """The config that was run, as it was given."""
    machine: dict[str, Any]
    """Processor, cores, system."""
    versions: dict[str, str]
    """Of Python and the libraries."""
    files: dict[str, str]
    """The sha256 of every file that the corpora were read from."""
    artifacts: dict[str, Content]
    """By id, inputs before what is made of them."""
    results: dict[str, dict[str, Measure]]
    """What the evaluation of each experiment measured."""
    costs: dict[str, float]
    """Seconds of each stage in all, of jobs that may have run side by side."""


def read_claim(file: Path) -> Claim:
    """The claim in a file. Raises UserError where it is none, or one of another version of the format."""
    data = script.read_settings(str(file))
    version = data.get("claim")
    if version != 1:
        newer = isinstance(version, int) and version > 1
        raise UserError(f"{file}: claim {version!r}: this version of the project reads claims of version 1"
                        f"{'; update it to read this one' if newer else ', which `snakemake claim` writes'}")  # fmt: skip
    try:
        return Claim.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{file}: {'; '.join(explain(Claim, detail, '') for detail in error.errors())}") from None


def claim_of(config: Mapping[str, Any]) -> Claim:
    """What a finished run of a config claims. Raises UserError where it is not finished, or not whole."""
    report = report_of(config)
    made = list(upwards(report))
    for one in made:
        if faults := verify(one.path):
            raise UserError(f"{one.path}: is damaged: {'; '.join(faults)}; run the config again, then claim it")
    seconds: dict[str, float] = {}
    for one in made:
        seconds[one.stage] = seconds.get(one.stage, 0.0) + one.manifest["wall_seconds"]
    return Claim(
        claim=1,
        config=json.loads(json.dumps(config)),
        machine={key: report.manifest["host"][key] for key in ("cpu", "cores", "system")},
        versions=report.manifest["versions"],
        files=dict(files(made)),
        artifacts={
            f"{one.stage}/{one.manifest['name']}": Content(content=one.manifest["content"], code=one.manifest["code"])
            for one in made
        },
        results={name: dict(measures(evaluated.stats)) for name, evaluated in evaluations(report)},
        costs={stage: round(total, 1) for stage, total in seconds.items()},
    )


def report_of(config: Mapping[str, Any]) -> Made:
    """The report of a finished run. Raises UserError where it is not made."""
    plan = build(read(config), follow=on_disk)
    report = plan.stage("report")
    if not plan.is_whole or not (RESULTS / report[0].id / "manifest.json").exists():
        raise UserError("results/report: the run of this config is not finished; run it first")
    return Made.at(RESULTS / report[0].id)


def evaluations(report: Made) -> Iterator[tuple[str, Made]]:
    """The evaluation of each experiment of a report."""
    for name, stages in report.settings["experiments"].items():
        yield name, Made.at(RESULTS / stages["evaluate"])


def measures(stats: Any, above: str = "") -> Iterator[tuple[str, Measure]]:
    """All numbers with an interval, by their dotted paths."""
    if isinstance(stats, Mapping):
        if {"value", "low", "high"} <= stats.keys():
            yield above, Measure(**{key: float(stats[key]) for key in ("value", "low", "high")})
            return
        for key, value in stats.items():
            yield from measures(value, f"{above}.{key}" if above else key)


def files(made: list[Made]) -> Iterator[tuple[str, str]]:
    """The files outside the project that corpora were read from, with their sha256."""
    for one in made:
        if one.stage == "corpus":
            yield from ((file["name"], file["sha256"]) for file in one.stats.get("files", []))


def as_text(claim: Claim) -> str:
    """The claim as a YAML file."""
    said = "# What a run of Stagecraft found. To try it: snakemake reproduce --cores 2 --config claim=FILE\n"
    return said + yaml.safe_dump(claim.resolved(), sort_keys=False, allow_unicode=True, width=120)
