"""What a training is given: settings, tokens, and where it leaves its traces."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Self, cast

from torch import nn

from stages.lm import artifacts, provenance
from stages.lm.artifacts import Artifact
from stages.lm.models import registry
from stages.lm.training import machine
from stages.lm.training.data import Source, open_data
from stages.lm.training.distributed import ALONE, Ranks, share
from stages.lm.training.engines import Engine
from stages.lm.training.learner import Learner
from stages.lm.training.loop import Conduct, Run
from stages.lm.training.settings import IMPORTING, TRAINER, TrainSettings
from stages.lm.training.state import StateFolder
from stages.lm.training.tracking import Tracker, Trackers


@dataclass
class Job:
    """A model to train: what determines it, and where the training leaves its traces."""

    settings: TrainSettings
    source: Source
    state: StateFolder
    tokenizer: str
    """The digest of the tokenizer that the tokens are of."""
    tracker: Tracker = field(default_factory=Trackers)
    conduct: Conduct = field(default_factory=Conduct)
    ranks: Ranks = ALONE
    engine: Engine = "ddp"
    chosen: dict[str, Any] = field(default_factory=dict)
    """What the settings left to the machine, as this run has it."""
    start: dict[str, str] = field(default_factory=dict)
    """The sha256 of each file that it starts from, by name, where it does not start from random weights."""

    @classmethod
    def of(
        cls, settings: TrainSettings, tokens: Artifact, name: str, state: Path | None = None, milestone_every: int | None = None
    ) -> Self:
        """The job of training on a token artifact; its checkpoints are those of the run `name` unless `state` names a folder."""
        about, given = tokens.json("stats.json"), settings.training.start
        start = import_module(IMPORTING).hashes(Path(given)) if given is not None else {}
        identity = {
            "settings and tokens": artifacts.digest("train", settings.resolved(), {"tokens": tokens.digest}),
            "code": provenance.code_version("stages.train", *settings.modules),
            **({"files of training.start": start} if start else {}),
        }
        folder = StateFolder(state or Path("state") / "train" / name, identity, milestone_every)
        source = Source(tokens.path, about["vocab_size"], about["end_of_text"])
        return cls(settings, source, folder, about["tokenizer"], start=start)

    def settle(self, choose: Callable[["Job"], dict[str, Any]]) -> None:
        """Take for what the settings leave open what the run chose when it began; one that begins now chooses, for good."""
        if not self.settings.left_open:
            return
        chosen = self.ranks.from_first(self.state.chosen)
        if chosen is None:
            chosen = choose(self)
            with self.ranks.together():
                if self.ranks.is_first:
                    self.state.choose(chosen)
        self.adopt(chosen)

    def adopt(self, chosen: dict[str, Any]) -> None:
        """Take these values for what the settings leave open."""
        self.chosen, self.settings = chosen, self.settings.with_training(chosen)

    def run(self) -> Run:
        """The training by gradient descent, at its first step. Sets the process's threads and arithmetic."""
        training = self.settings.training
        data = share(open_data(self.settings, self.source), self.ranks, training.batch_size)
        device = machine.prepare(training)

        def build() -> Learner:
            model = registry.build(self.settings.model, self.source.vocab_size, training.seed)
            if hasattr(model, "check"):
                model.check()
            if training.start is not None:
                import_module(IMPORTING).start_from(model, self.settings.model, Path(training.start), self.tokenizer)
            return Learner(cast(nn.Module, model), training, device, self.ranks, self.engine)

        kind = import_module(TRAINER).TrainerRun if training.backend == "trainer" else Run
        run: Run = kind(build, data, self.state, self.tracker, self.conduct, self.ranks)
        return run
