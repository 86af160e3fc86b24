"""The plan: a pure function from a validated config, and from what its rounds have found, to the artifacts that it calls for.

Each node is one artifact and one job. Its path holds a digest of everything that determines its content (the resolved settings
of its stage, the digests of its inputs, the stage's format version), so two configs never overwrite each other, and what two
experiments share is one node. Snakemake's rules ask the plan; the plan knows nothing of Snakemake.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from stages.lm.corpus.sources import source_files
from stages.lm.evaluation.tasks.sources import task_files
from stages.lm.models import registry
from stages.lm.studies.settings import AccountingStudy
from stages.lm.tokenization import TokenizeSettings
from stages.lm.training.settings import TrainSettings
from workflow.config import Config, Execution, Experiment, GradientsOf, PlainStudy, ScalingOf, TokenizersOf
from workflow.nodes import STAGES, Node, Plan
from workflow.rounds import Follow, add_scaling, add_sweep, unknown

__all__ = ["STAGES", "Node", "Plan", "build"]


class Made(NamedTuple):
    """The nodes of a config's corpora and tokenizers, and of its experiments by stage."""

    corpora: Mapping[str, Node]
    tokenizers: Mapping[str, Node]
    experiments: Mapping[str, Mapping[str, Node]]


def build(config: Config, cores: int = 1, follow: Follow = unknown) -> Plan:
    """The plan of a config; jobs that can use any number of cores ask for `cores`. Raises UserError for missing source files.

    `follow` tells what a round of a sweep or study asks for next, where it is made; beyond what is known the plan does not reach.
    """
    plan, job = Plan(), config.execution.job
    corpora = {
        name: plan.add(Node("corpus", name, settings.resolved(), files=tuple(source_files(settings)), job=job("corpus")))
        for name, settings in config.corpora.items()
    }
    tokenizers = {
        name: plan.add(Node("bpe", name, made.own_settings(), {"corpus": corpora[made.corpus]}, threads=cores, job=job("bpe")))
        for name, made in config.tokenizers.items()
    }

    def add(name: str, experiment: Experiment) -> dict[str, Node]:
        corpus = corpora[experiment.corpus or config.tokenizers[experiment.tokenizer].corpus]
        draft = experiment.decoding.draft
        drafter = add(draft, config.experiments[draft])["train"] if draft else None
        return add_experiment(plan, name, experiment, corpus, tokenizers[experiment.tokenizer], config.execution, drafter)

    def options(experiment: str) -> tuple[str, ...]:
        return training_options(config.execution, experiments[experiment]["bpe"])

    def search(is_settled: bool) -> None:
        for name, sweep in config.sweeps.items():
            if config.searches[name].is_settled == is_settled:
                add_sweep(plan, name, config, experiments[sweep.experiment], options(sweep.experiment), follow)

    # What is known from the config alone comes first: no round that is found later gives it another path.
    varied = {sweep.experiment for sweep in config.sweeps.values()}
    experiments = {name: add(name, experiment) for name, experiment in config.experiments.items() if name in varied}
    search(is_settled=True)
    experiments |= {name: add(name, experiment) for name, experiment in config.experiments.items() if name not in varied}
    search(is_settled=False)
    plan.experiments = experiments = {name: experiments[name] for name in config.experiments}
    for name, study in config.studies.items():
        if isinstance(study, ScalingOf):
            add_scaling(plan, name, config, experiments[study.experiment], options(study.experiment), follow)
        else:
            plan.studies[name] = [add_study(plan, name, study, config, Made(corpora, tokenizers, experiments), cores)]
    if plan.is_whole:
        _add_report(plan, config, experiments)
    return plan


def add_experiment(
    plan: Plan,
    name: str,
    experiment: Experiment,
    corpus: Node,
    tokenizer: Node,
    execution: Execution,
    drafter: Node | None = None,
) -> dict[str, Node]:
    """Plan the artifacts of one experiment; returns them by stage, those that it shares with others included.

    `drafter`: the training of the model that drafts for it in decoding.
    """
    modules = (registry.module_of(experiment.model.family),)
    drafting = (registry.module_of(drafter.settings["model"]["family"]),) if drafter else ()
    loaded = {"export": (), "decode": (*modules, *experiment.decoding.modules, *drafting)}
    training = TrainSettings(model=experiment.model, training=experiment.training)
    threads = experiment.training.threads

    def add(stage: str, settings: Mapping[str, Any], estimate: Node | None, files: Sequence[str] = (), /, **inputs: Node) -> Node:
        given = ("--fits", execution.fits) if stage == "estimate" and execution.fits else ()
        job = experiment.job.over(execution.job(stage)) if stage == "estimate" else execution.job(stage)
        return plan.add(
            Node(stage, name, settings, inputs, tuple(files), given, loaded.get(stage, modules), threads, job, estimate)
        )

    tokens = plan.add(
        Node(
            "tokenize",
            f"{corpus.name}-{tokenizer.name}",
            TokenizeSettings().resolved(),
            {"corpus": corpus, "tokenizer": tokenizer},
            threads=tokenizer.threads,
            job=execution.job("tokenize"),
        )
    )
    # Of decoding an estimate knows one number: other prompts are no reason to make it again.
    promised = {
        "machine": execution.machine.resolved(),
        "spread": execution.spread(experiment).resolved(),
        "texts_at_once": experiment.decoding.at_once,
    }
    estimate = add("estimate", {**training.resolved(), **promised}, None, tokens=tokens)
    options = (*training_options(execution, tokenizer), "--estimate", f"results/{estimate.id}")
    train = Node.training(name, training, tokens, options, experiment.job.over(execution.job("train")), estimate)
    tried = plan.tried.get(train.digest)
    train = plan.add(replace(train, name=tried.name) if tried else train)
    evaluation, decoding, asked = told(experiment)
    reads_texts = experiment.model.task in ("translation", "vectors") or bool(experiment.evaluation.tasks)
    read = {"tokenizer": tokenizer} if reads_texts else {}
    written = {"draft": drafter} if drafter else {}
    if experiment.model.task == "translation" and experiment.translation.split:
        written = {"corpus": corpus}
    elif experiment.model.task == "vectors":
        written = {"tokens": tokens}
    evaluate = add("evaluate", evaluation, estimate, asked, model=train, tokens=tokens, corpus=corpus, **read)
    made = {
        "corpus": corpus,
        "bpe": tokenizer,
        "tokenize": tokens,
        "estimate": estimate,
        "train": train,
        "evaluate": evaluate,
        "decode": add("decode", decoding, estimate, model=train, tokenizer=tokenizer, **written),
    }
    if experiment.export is not None:
        settings = experiment.export.resolved()
        made["export"] = add("export", settings, estimate, model=train, tokenizer=tokenizer, evaluation=evaluate)
    return made


def told(experiment: Experiment) -> tuple[dict[str, Any], dict[str, Any], Sequence[str]]:
    """What evaluation and decoding are told, by the model's task, and the files with what it is asked."""
    measured = experiment.evaluation.of_split
    match experiment.model.task:
        case "translation":  # what is measured are the texts that it writes, beside the corpus's
            search = experiment.translation.search.resolved()
            return measured | {"search": search}, experiment.translation.resolved(), ()
        case "masked":
            return measured | experiment.masked.measures, experiment.masked.shown, ()
        case "vectors":
            return measured | experiment.vectors.measures, experiment.vectors.shown, ()
    return experiment.evaluation.resolved(), experiment.decoding.resolved(), task_files(experiment.evaluation.tasks)


def training_options(execution: Execution, tokenizer: Node) -> tuple[str, ...]:
    """The arguments of the train stage that do not influence its result."""
    given = {
        "--wandb": execution.wandb,
        "--engine": execution.engine,
        "--checkpoint-seconds": execution.checkpoint_seconds,
        "--milestone-every": execution.milestone_every,
        "--time-limit": execution.time_limit,
        "--sample-every": execution.sample_every,
        "--tokenizer": f"results/{tokenizer.id}" if execution.sample_every else None,
    }
    flags = ("--tensorboard",) if execution.tensorboard else ()
    return (*(str(part) for option, value in given.items() if value is not None for part in (option, value)), *flags)


def add_study(plan: Plan, name: str, study: PlainStudy, config: Config, made: Made, cores: int) -> Node:
    """Plan a study; its inputs are named by their ids. One that measures time asks for all cores: nothing should run beside."""
    own = study.resolved()
    inputs: list[Node] = []
    modules: tuple[str, ...] = ()
    if isinstance(study, AccountingStudy):
        settings: dict[str, Any] = {"study": own}
    elif isinstance(study, TokenizersOf):
        on = {"tokenizers": made.tokenizers, "corpora": made.corpora}
        chosen = {key: {one: nodes[one] for one in own.pop(key) or nodes} for key, nodes in on.items()}
        settings = {"study": own} | {key: {one: node.id for one, node in nodes.items()} for key, nodes in chosen.items()}
        inputs = [node for nodes in chosen.values() for node in nodes.values()]
    else:
        models = {experiment: config.experiments[experiment].model for experiment in own.pop("experiments")}
        inputs = [made.experiments[study.experiments[0]]["tokenize"]]
        described = {experiment: model.resolved() for experiment, model in models.items()}
        settings = {"study": own, "models": described, "tokens": inputs[0].id}
        modules = tuple(sorted({registry.module_of(model.family) for model in models.values()}))
    threads = study.threads if isinstance(study, GradientsOf) else 1 if isinstance(study, AccountingStudy) else cores
    job = config.execution.job("study")
    return plan.add(Node("study", name, settings, {node.id: node for node in inputs}, (), (), modules, threads, job))


def _add_report(plan: Plan, config: Config, experiments: Mapping[str, Mapping[str, Node]]) -> None:
    """One report over every artifact of every experiment, and the last of every study and sweep; its inputs are named by ids."""
    shown = {name: {stage: node.id for stage, node in nodes.items()} for name, nodes in experiments.items()}
    studies, sweeps = ({name: nodes[-1] for name, nodes in chains.items()} for chains in (plan.studies, plan.rounds))
    inputs = {node.id: node for nodes in (*experiments.values(), studies, sweeps) for node in nodes.values()}
    settings = {
        "title": config.title,
        "experiments": shown,
        "bases": {name: experiment.extends for name, experiment in config.experiments.items() if experiment.extends},
        "studies": {name: node.id for name, node in studies.items()},
        "sweeps": {name: node.id for name, node in sweeps.items()},
    }
    plan.add(Node("report", config.name, settings, inputs, job=config.execution.job("report")))
