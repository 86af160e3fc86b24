"""The plan: a pure function from a validated config to the artifacts that it calls for.

Each node is one artifact and one job. Its path holds a digest of everything that determines its content (the resolved settings
of its stage, the digests of its inputs, the stage's format version), so two configs never overwrite each other, and what two
experiments share is one node. Snakemake's rules ask the plan; the plan knows nothing of Snakemake.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stages.lm import artifacts
from stages.lm.corpus.sources import source_files
from stages.lm.models import registry
from stages.lm.tokenization import TokenizeSettings
from stages.lm.training.settings import TrainSettings
from workflow.config import Config, Execution, Experiment

STAGES = ("corpus", "bpe", "tokenize", "estimate", "train", "evaluate", "decode", "report")


@dataclass(frozen=True)
class Node:
    """One artifact of the plan and the job that makes it."""

    stage: str
    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, "Node"] = field(default_factory=dict)
    """The artifacts it is made from, by role."""
    files: tuple[str, ...] = ()
    """Files outside the plan that it is made from."""
    options: tuple[str, ...] = ()
    """Arguments that do not influence the result."""
    modules: tuple[str, ...] = ()
    """Modules that the stage loads by name."""
    threads: int = 1

    @cached_property
    def digest(self) -> str:
        return artifacts.digest(self.stage, self.settings, {role: node.digest for role, node in self.inputs.items()})

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.digest}"

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.folder}"


@dataclass
class Plan:
    """The nodes of a config by digest, in an order in which they could be made."""

    nodes: dict[str, Node] = field(default_factory=dict)

    def add(self, node: Node) -> Node:
        """Plan a node; returns the one already planned where that makes the same artifact (perhaps under another name)."""
        return self.nodes.setdefault(node.digest, node)

    def stage(self, stage: str) -> list[Node]:
        """The nodes of one stage."""
        return [node for node in self.nodes.values() if node.stage == stage]


def build(config: Config, cores: int = 1) -> Plan:
    """The plan of a config; jobs that can use any number of cores ask for `cores`. Raises UserError for missing source files."""
    plan = Plan()
    corpora = {
        name: plan.add(Node("corpus", name, settings.resolved(), files=tuple(source_files(settings))))
        for name, settings in config.corpora.items()
    }
    tokenizers = {
        name: plan.add(Node("bpe", name, tokenizer.own_settings(), {"corpus": corpora[tokenizer.corpus]}, threads=cores))
        for name, tokenizer in config.tokenizers.items()
    }
    experiments = {}
    for name, experiment in config.experiments.items():
        corpus = corpora[experiment.corpus or config.tokenizers[experiment.tokenizer].corpus]
        experiments[name] = add_experiment(plan, name, experiment, corpus, tokenizers[experiment.tokenizer], config.execution)
    _add_report(plan, config, experiments)
    return plan


def add_experiment(
    plan: Plan, name: str, experiment: Experiment, corpus: Node, tokenizer: Node, execution: Execution
) -> dict[str, Node]:
    """Plan the artifacts of one experiment; returns them by stage, those that it shares with others included."""
    modules = (registry.module_of(experiment.model.family),)
    trained = TrainSettings(model=experiment.model, training=experiment.training).resolved()
    threads = experiment.training.threads
    options = ("--wandb", execution.wandb, "--checkpoint-seconds", str(execution.checkpoint_seconds))

    def add(stage: str, settings: Mapping[str, Any], **inputs: Node) -> Node:
        given = options if stage == "train" else ()
        return plan.add(Node(stage, name, settings, inputs, options=given, modules=modules, threads=threads))

    tokens = plan.add(
        Node(
            "tokenize",
            f"{corpus.name}-{tokenizer.name}",
            TokenizeSettings().resolved(),
            {"corpus": corpus, "tokenizer": tokenizer},
            threads=tokenizer.threads,
        )
    )
    estimate = add("estimate", trained, tokens=tokens)
    train = add("train", trained, tokens=tokens)
    return {
        "corpus": corpus,
        "bpe": tokenizer,
        "tokenize": tokens,
        "estimate": estimate,
        "train": train,
        "evaluate": add("evaluate", experiment.evaluation.resolved(), model=train, tokens=tokens, corpus=corpus),
        "decode": add("decode", experiment.decoding.resolved(), model=train, tokenizer=tokenizer),
    }


def _add_report(plan: Plan, config: Config, experiments: Mapping[str, Mapping[str, Node]]) -> None:
    """One report over every artifact of every experiment; its inputs are named by their ids."""
    shown = {name: {stage: node.id for stage, node in nodes.items()} for name, nodes in experiments.items()}
    inputs = {node.id: node for nodes in experiments.values() for node in nodes.values()}
    plan.add(Node("report", config.name, {"title": config.title, "experiments": shown}, inputs))
