"""What a claim holds, and how one is written from a finished run."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from stages.lm import provenance, script
from stages.lm.artifacts import sha256, verify
from stages.lm.errors import UserError
from stages.lm.lineage.graph import Made, upwards
from stages.lm.settings import Settings, explain
from workflow.config import Config
from workflow.nodes import Plan
from workflow.plan import build
from workflow.reading import read
from workflow.rounds import on_disk

DECISIVE = {"machine", "engine", "jobs"}
"""What counts of `execution`: the rest influences no result, and is not for a claim to say on another's machine."""
DECISIVE_OF_JOBS = {"nodes", "processes", "gpus"}

COMPUTING = ("python", "numpy", "numba", "torch", "transformers", "accelerate")
"""What may round differently in another version."""


class Measure(Settings, allow_inf_nan=True):
    """A result with its interval over what was evaluated."""

    value: float
    low: float
    high: float

    def holds_beside(self, other: "Measure") -> bool:
        """Whether each lies in the interval of the other."""
        return self.low <= other.value <= self.high and other.low <= self.value <= other.high


class Content(Settings):
    """An artifact: what is in it, the version of the code that made it, and the kind of machine."""

    content: str
    """A hash over all files that a seed determines."""
    code: str
    machine: str
    """Processor, GPU if one was used, and the versions of what computes."""


class Claim(Settings):
    """What a run found, and what is needed to try it again beside the project and the files that it names."""

    claim: Literal[1]
    """The version of this format."""
    config: dict[str, Any]
    """The config that was run, as it was given, without what only says how jobs are run."""
    files: dict[str, str]
    """The sha256 of every file that was read from outside the results: texts, sweep files, variants, tasks, weights."""
    artifacts: dict[str, Content]
    """By id, inputs before what is made of them."""
    results: dict[str, dict[str, Measure]]
    """What the evaluation of each experiment measured."""
    costs: dict[str, float]
    """Seconds of each stage in all, of jobs that may have run side by side."""


def read_claim(file: Path) -> Claim:
    """The claim in a file. Raises UserError where it is none, one of another version of the format, or one that may do harm."""
    data = script.read_settings(str(file))
    version = data.get("claim")
    if version != 1:
        newer = isinstance(version, int) and version > 1
        raise UserError(f"{file}: claim {version!r}: this version of the project reads claims of version 1"
                        f"{'; update it to read this one' if newer else ', which `snakemake claim` writes'}")  # fmt: skip
    try:
        claim = Claim.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{file}: {'; '.join(explain(Claim, detail, '') for detail in error.errors())}") from None
    _check_variants(claim.config, str(file))
    return claim.model_copy(update={"config": decisive(claim.config)})


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without what only says how jobs are run: partitions, options, containers, trackers."""
    shown: dict[str, Any] = json.loads(json.dumps(config))
    execution = {key: value for key, value in shown.pop("execution", {}).items() if key in DECISIVE}
    if "jobs" in execution:
        execution["jobs"] = {stage: _decisive_job(job) for stage, job in execution["jobs"].items()}
    for experiment in shown.get("experiments", {}).values():
        if isinstance(experiment, dict) and "job" in experiment:
            experiment["job"] = _decisive_job(experiment["job"])
    return shown | ({"execution": execution} if execution else {})


def _decisive_job(job: Any) -> Any:
    return {key: value for key, value in job.items() if key in DECISIVE_OF_JOBS} if isinstance(job, dict) else job


def _check_variants(config: Any, where: str) -> None:
    """Raise UserError where the code of a model is to be taken from outside the checkout."""
    for experiment in (config.get("experiments") or {}).values():
        model = experiment.get("model") if isinstance(experiment, dict) else None
        path = PurePath(str(model.get("file", ""))) if isinstance(model, dict) else PurePath()
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{where}: {path}: a claim may run code of this checkout only; copy the file into it")


def claim_of(config: Mapping[str, Any]) -> Claim:
    """What a finished run of a config claims. Raises UserError where it is not finished, or not whole."""
    shown = decisive(config)
    checked = read(shown)
    plan = build(checked, follow=on_disk)
    report = report_of(plan)
    if report is None:
        raise UserError("results/report: the run of this config is not finished; run it first")
    made = list(upwards(report))
    for one in made:
        if faults := verify(one.path):
            raise UserError(f"{one.path}: is damaged: {'; '.join(faults)}; run the config again, then claim it")
        for role, above in one.inputs.items():
            if above is None:
                raise UserError(f"{one.path}: its input {role} is not here any more; run the config again, then claim it")
    seconds: dict[str, float] = {}
    for one in made:
        seconds[one.stage] = seconds.get(one.stage, 0.0) + one.manifest["wall_seconds"]
    return Claim(
        claim=1,
        config=shown,
        files=files(checked, plan, made),
        artifacts={one.id: content(one) for one in made},
        results={name: dict(measures(evaluated.stats)) for name, evaluated in evaluations(plan)},
        costs={stage: round(total, 1) for stage, total in seconds.items()},
    )


def content(made: Made) -> Content:
    """What a claim says of an artifact."""
    kind = _kind(made.manifest["host"], made.manifest["versions"])
    return Content(content=made.content, code=made.manifest["code"], machine=kind)


def kind_here(device: str) -> str:
    """The kind of this machine, as a claim names it: with its GPU if a stage that is told to use `device` would."""
    import torch

    found = provenance.environment()
    gpu = {"gpu": torch.cuda.get_device_name()} if device != "cpu" and torch.cuda.is_available() else {}
    return _kind(found["host"] | gpu, found["versions"])


def _kind(host: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    kind = [host["cpu"], *([host["gpu"]] if "gpu" in host else [])]
    return ", ".join([*kind, *(f"{name} {versions[name]}" for name in COMPUTING if name in versions)])


def report_of(plan: Plan) -> Made | None:
    """The report of a finished run."""
    made = [node for node in plan.stage("report") if node.is_made]
    return Made.at(made[0].path) if made else None


def evaluations(plan: Plan) -> Iterator[tuple[str, Made]]:
    """The evaluation of each experiment, as far as they are made."""
    for name, nodes in plan.experiments.items():
        if nodes["evaluate"].is_made:
            yield name, Made.at(nodes["evaluate"].path)


def measures(stats: Any, above: str = "") -> Iterator[tuple[str, Measure]]:
    """All numbers with an interval, by their dotted paths."""
    if isinstance(stats, Mapping):
        if {"value", "low", "high"} <= stats.keys():
            yield above, Measure(**{key: float(stats[key]) for key in ("value", "low", "high")})
            return
        for key, value in stats.items():
            yield from measures(value, f"{above}.{key}" if above else key)


def files(config: Config, plan: Plan, made: list[Made]) -> dict[str, str]:
    """The files outside the results that a run read, with their sha256: those of the corpora as the corpora remember them."""
    found = {file["name"]: file["sha256"] for one in made for file in one.sources}
    named = {file for node in plan.nodes.values() for file in node.files} | {sweep.file for sweep in config.sweeps.values()}
    named |= {str(getattr(experiment.model, "file", "")) for experiment in config.experiments.values()}
    return found | {name: sha256(Path(name)) for name in sorted(named - found.keys()) if name and Path(name).is_file()}


def as_text(claim: Claim) -> str:
    """The claim as a YAML file."""
    said = "# What a run of Stagecraft found. To try it: snakemake reproduce --cores 2 --config claim=FILE\n"
    return said + yaml.safe_dump(claim.resolved(), sort_keys=False, allow_unicode=True, width=120)
