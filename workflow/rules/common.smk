"""The plan of this config, and what the rules ask of it."""

import atexit
import shlex
import sys
import time
from functools import cache
from pathlib import Path

import yaml
from snakemake.settings.types import DeploymentMethod

from stages.lm import artifacts
from stages.lm.errors import UserError
from stages.lm.provenance import code_version
from workflow import grading as gradings, launch
from workflow.claims.claim import read_claim
from workflow.reading import read
from workflow.jobs import RESOURCES, read_estimate, resources
from workflow.plan import STAGES, build
from workflow.rounds import on_disk

STARTED = time.time()

# The image in which jobs run; nothing is said of it to runs without containers.
in_containers = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method

# Jobs find the project's modules from any working directory, and without containers or conda the interpreter that runs
# Snakemake, whether or not its environment is activated.
exports = {"PYTHONPATH": shlex.quote(workflow.basedir)}
if not workflow.deployment_settings.deployment_method:
    exports["PATH"] = f"{shlex.quote(str(Path(sys.executable).parent))}:$PATH"
if workflow.remote_exec:
    exports[launch.OWN_JOB] = "1"
shell.prefix(f"export {' '.join(f'{name}={value}' for name, value in exports.items())}; ")


def planned_so_far(checked):
    """The plan, as far as the rounds of its sweeps and studies are made."""
    return build(checked, max(workflow.resource_settings.cores or 1, 1), on_disk)


# With `--config claim=FILE` the config is the one that the claim holds.
claimed = config.pop("claim", None)
# What is said of a grading is no part of the config.
grading = gradings.taken_from(config)


def understood():
    """The config and its plan; a mistake in the config ends the run with one line and exit code 2."""
    try:
        if claimed:
            config.clear()
            config.update(read_claim(Path(str(claimed))).config)
        checked = read(config)
        planned = planned_so_far(checked)
        if workflow.is_main_process and checked.execution.fits:
            from workflow import estimates  # which loads torch: not for nothing

            estimates.check_fits(planned, checked.execution.fits)
        return checked, planned
    except UserError as error:
        sys.stderr.write(f"error: {' '.join(map(str, workflow.configfiles))}: {error}\n")
        sys.exit(2)


def understood_grades():
    """The nodes of the submissions that are to be graded; a mistake ends the run with one line and exit code 2."""
    try:
        return gradings.grades(grading, checked_config.execution.job("grade"))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def set_damaged_aside(folder):
    """An artifact whose files do not have the sizes of its manifest does not exist: take its manifest away from it."""
    try:
        faults = artifacts.verify(folder, sizes_only=True) if (folder / artifacts.MANIFEST).exists() else []
    except UserError as error:
        faults = [str(error)]
    if faults:
        sys.stderr.write(f"{folder}: is damaged ({'; '.join(faults)}) and will be made again\n")
        (folder / artifacts.MANIFEST).rename(folder / f"{artifacts.MANIFEST}.damaged")


checked_config, plan = understood()
# The nodes of all plans of this run by digest: a round that is made anew may leave out what Snakemake was already asked for.
asked_for = dict(plan.nodes)
if workflow.is_main_process:
    for planned_node in plan.nodes.values():
        set_damaged_aside(Path("results") / planned_node.id)


def node(wildcards):
    """The node that a job makes: folders end in its digest."""
    return asked_for[wildcards.folder.rpartition("-")[2]]


def manifest(node):
    return f"results/{node.id}/manifest.json"


def manifests(stage):
    """The manifests of all artifacts of a stage that are known by now."""
    return [manifest(node) for node in plan.stage(stage)]


def rounds(chain):
    """An input function: the rounds that `chain` finds in a plan, which become known one after the other.

    Where one is not made yet, the checkpoint ends the function, and Snakemake calls it again when it is.
    """

    def known(_wildcards):
        global plan
        made = 0
        while made < len(chain(plan)):
            last = chain(plan)[made]
            checkpoints.next_round.get(stage=last.stage, folder=last.folder)
            plan, made = planned_so_far(checked_config), made + 1
            asked_for.update(plan.nodes)
        return [manifest(node) for node in chain(plan)]

    return known


def open_ended():
    """The chains of rounds that the config alone does not tell."""
    searches = [name for name, search in checked_config.searches.items() if not search.is_settled]
    return [*(lambda plan, name=name: plan.rounds[name] for name in searches),
            *(lambda plan, name=name: plan.studies[name] for name in checked_config.scalings)]


def wanted(stages):
    """Input functions for a target: all artifacts of these stages, those included that rounds are yet to ask for."""
    searched = [rounds(chain) for chain in open_ended()] if {"trial", "sweep", "scaling", "report"} & set(stages) else []

    def now(_wildcards):
        return [made for stage in stages for made in manifests(stage)]

    return [*searched, now]


def inputs(wildcards):
    """What a job waits for: the manifests of its input artifacts, and files outside the plan."""
    return [manifest(needed) for needed in plan.needed(node(wildcards))] + list(node(wildcards).files)


def script(wildcards):
    """The command line of a stage's script; it reads its settings from standard input."""
    made = node(wildcards)
    return " ".join([*made.command(made.path), f"--log logs/{made.id}.log"])


def around(wildcards):
    """What a job's launcher is started by: a trial, which launches its training, or nothing."""
    return f"{script(wildcards)} -- " if node(wildcards).train else ""


def launched(wildcards):
    """What a job's launcher starts: the stage's script, or the training of a trial."""
    made = node(wildcards)
    return " ".join(["python -m stages.train", *made.train.options]) if made.train else script(wildcards)


def settings(wildcards):
    return yaml.safe_dump(dict(node(wildcards).settings), sort_keys=False, allow_unicode=True)


def threads(wildcards):
    return node(wildcards).threads


def resource(name):
    """The function by which a rule asks for the resource `name`."""

    def asked(wildcards, attempt):
        made = node(wildcards)
        estimate = read_estimate(Path("results") / made.estimate.id) if made.estimate and name in ("mem_mb", "runtime") else None
        return resources(made.stage, made.job, made.threads, estimate, attempt)[name]

    return asked


@cache
def version(stage, modules):
    """The version of a stage's code as this run found it: hundreds of jobs share a few."""
    return code_version(f"stages.{stage}", *modules)


def code(wildcards):
    """The version of the code behind a job: when it changes, the job runs again."""
    made = node(wildcards)
    return version(made.stage, made.modules)


def end_with_estimates():
    """All estimates in one table, where they were asked for and are made."""
    asked = workflow.dag_settings and "estimate" in workflow.dag_settings.targets
    if asked and all(Path(made).exists() for made in manifests("estimate")):
        from workflow import estimates

        sys.stdout.write(estimates.table(plan))


if workflow.is_main_process:
    atexit.register(end_with_estimates)  # unlike Snakemake's own handlers it is called too where nothing is left to be done


def end_with_errors():
    """End a failed run with what the scripts refused, a line each, and with their exit code."""
    refused = []
    for file in sorted(Path("logs").rglob("*.log")):
        if file.stat().st_mtime >= STARTED:
            last = file.read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
            if "error: " in last:
                refused.append(f"error: {last.partition('error: ')[2]}\n")
    if refused:
        sys.stderr.write("".join(refused))
        sys.exit(2)
