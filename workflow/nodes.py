"""The nodes of the plan: artifacts and the jobs that make them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.lm import artifacts
from stages.lm.hub.folder import folder_files
from stages.lm.training.settings import TrainSettings
from workflow.jobs import JobSettings

RESULTS = Path("results")
"""Where artifacts lie."""

STAGES = ("corpus", "bpe", "tokenize", "estimate", "train", "evaluate", "decode", "export", "study", "trial", "sweep",
          "scaling", "report")  # fmt: skip
LISTED = ("study", "sweep", "scaling", "report")
"""Stages that take any number of artifacts, by no roles."""


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
    job: JobSettings = field(default_factory=JobSettings)
    """What it asks a cluster for."""
    estimate: "Node | None" = None
    """The estimate of the training that it belongs to: where it is made, it says how much memory and time to ask for."""
    train: "Node | None" = None
    """The training that a trial runs, or finds done."""

    @cached_property
    def digest(self) -> str:
        return artifacts.digest(self.stage, self.settings, {role: node.digest for role, node in self.inputs.items()})

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.digest}"

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.folder}"

    @property
    def path(self) -> Path:
        """Its artifact's folder."""
        return RESULTS / self.id

    @property
    def is_made(self) -> bool:
        """Whether its artifact is finished."""
        return (self.path / artifacts.MANIFEST).is_file()

    def command(self, out: Path) -> list[str]:
        """The command line of its stage's script, which reads its settings from standard input."""
        listed = self.stage in LISTED
        inputs = [
            part for role, above in self.inputs.items() for part in (f"--{'artifact' if listed else role}", str(above.path))
        ]
        return ["python", "-m", f"stages.{self.stage}", "--config", "-", *inputs, "--out", str(out), *self.options]

    @classmethod
    def training(
        cls,
        name: str,
        settings: TrainSettings,
        tokens: "Node",
        options: Sequence[str],
        job: JobSettings,
        estimate: "Node | None" = None,
    ) -> "Node":
        """A training, an experiment's or a trial's. Raises UserError where the folder that it starts from has no model."""
        start = settings.training.start
        files = tuple(map(str, folder_files(Path(start)))) if start else ()
        threads = settings.training.threads * job.processes_per_node
        return cls("train", name, settings.resolved(), {"tokens": tokens}, files, tuple(options), settings.modules, threads, job,
                   estimate)  # fmt: skip


@dataclass
class Plan:
    """The nodes of a config by digest, in an order in which they could be made."""

    nodes: dict[str, Node] = field(default_factory=dict)
    experiments: dict[str, dict[str, Node]] = field(default_factory=dict)
    """The nodes of each experiment by stage, those that it shares with others included."""
    rounds: dict[str, list[Node]] = field(default_factory=dict)
    """The artifacts of each sweep, one for each round that is known."""
    studies: dict[str, list[Node]] = field(default_factory=dict)
    """Those of each study: a single one, or one for each known round of a scaling study."""
    is_whole: bool = True
    """Whether all rounds are known; before that there is no report."""
    tried: dict[str, Node] = field(default_factory=dict)
    """The trainings of grids and random draws by digest, under the names that they have on disk."""

    def needed(self, node: Node) -> list[Node]:
        """What a node waits for: its inputs, and of a trial the training if that is an experiment's too."""
        shared = self.nodes.get(node.train.digest) if node.train else None
        return [*node.inputs.values(), *([shared] if shared else [])]

    def add(self, node: Node) -> Node:
        """Plan a node; returns the one already planned where that makes the same artifact (perhaps under another name)."""
        return self.nodes.setdefault(node.digest, node)

    def stage(self, stage: str) -> list[Node]:
        """The nodes of one stage."""
        return [node for node in self.nodes.values() if node.stage == stage]
