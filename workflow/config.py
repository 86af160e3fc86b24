"""The config file: named corpora, tokenizers and experiments that refer to each other by name.

The settings of each part are defined beside the code that uses them; here they are put together (`reading.py` checks what a
file says of them). `python -m workflow.config` prints the JSON schema, which editors can use.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    StringConstraints,
    TypeAdapter,
)

from stages.lm.accounting.devices import memory_of
from stages.lm.accounting.settings import MachineSettings, SpreadSettings
from stages.lm.bpe.settings import BpeSettings
from stages.lm.corpus.settings import CorpusSettings
from stages.lm.evaluation.settings import EvaluationSettings, MaskedSettings, VectorsSettings
from stages.lm.hub.settings import ExportSettings
from stages.lm.inference.settings import DecodingSettings, TranslationSettings
from stages.lm.models.settings import ModelSettings
from stages.lm.scaling.runs import ScalingSettings, ScalingStudy
from stages.lm.settings import Settings
from stages.lm.studies.settings import AccountingStudy, ComplexityStudy, GradientStudy, TokenizerStudy
from stages.lm.sweeps.search import Ours, SearchSettings
from stages.lm.tokenizers.settings import ByteSettings, CharacterSettings, WordSettings, with_kind
from stages.lm.training.settings import TrainingSettings
from workflow.jobs import JobSettings

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*$")]
"""Names become folder names: letters, digits, `_`, `.` and single `-`."""

NAMED = ("corpora", "tokenizers", "experiments", "studies")
"""Sections whose entries have names, and may extend each other."""


class OnCorpus(Settings):
    """What a tokenizer of any kind says in a config beside its own settings."""

    corpus: str
    """The corpus whose train split it learns from."""

    def own_settings(self) -> dict[str, Any]:
        """The settings of the tokenizer itself."""
        return {key: value for key, value in self.resolved().items() if key != "corpus"}


class BpeTokenizer(OnCorpus, BpeSettings):
    __doc__ = BpeSettings.__doc__


class ByteTokenizer(OnCorpus, ByteSettings):
    __doc__ = ByteSettings.__doc__


class CharacterTokenizer(OnCorpus, CharacterSettings):
    __doc__ = CharacterSettings.__doc__


class WordTokenizer(OnCorpus, WordSettings):
    __doc__ = WordSettings.__doc__


Tokenizer = Annotated[
    BpeTokenizer | ByteTokenizer | CharacterTokenizer | WordTokenizer, Field(discriminator="kind"), BeforeValidator(with_kind)
]


class Experiment(Settings):
    """One model, from its tokenizer to its samples."""

    extends: str | None = None
    """The experiment that it starts from, and beside which the report sets it."""
    tokenizer: str
    """The tokenizer's name."""
    corpus: str | None = None
    """The corpus to train and evaluate on; the tokenizer's own if not given."""
    model: ModelSettings
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    decoding: DecodingSettings = DecodingSettings()
    """What a language model writes."""
    translation: TranslationSettings = TranslationSettings()
    """How a translator translates, instead of `decoding`."""
    masked: MaskedSettings = MaskedSettings()
    """How a model that fills in blanks is measured and shown, instead of `decoding`."""
    vectors: VectorsSettings = VectorsSettings()
    """How word vectors are measured and shown, instead of `decoding`."""
    export: ExportSettings | None = None
    """That a model is written as a folder for Hugging Face transformers too; `{}` does it, null does not."""
    job: JobSettings = JobSettings()
    """What its training and the estimate of it ask a cluster for, over what `execution.jobs` says."""


class OnModels(Settings):
    """What a study of models says in a config beside its own settings."""

    experiments: list[str] = Field(min_length=1)
    """The experiments whose `model` is measured; their trainings are not needed for it."""


class GradientsOf(OnModels, GradientStudy):
    __doc__ = GradientStudy.__doc__


class ComplexityOf(OnModels, ComplexityStudy):
    __doc__ = ComplexityStudy.__doc__


class TokenizersOf(TokenizerStudy):
    __doc__ = TokenizerStudy.__doc__

    tokenizers: list[str] | None = None
    """The names of those that are compared; all if not given."""
    corpora: list[str] | None = None
    """The names of the corpora that they are compared on; all if not given."""


class ScalingOf(ScalingStudy):
    __doc__ = ScalingStudy.__doc__

    experiment: str
    """The experiment that is scaled: a transformer with a `shape`, whose ratios its models keep, with steps of their own."""


PlainStudy = GradientsOf | ComplexityOf | TokenizersOf | AccountingStudy
"""Studies that are one job."""

Study = Annotated[PlainStudy | ScalingOf, Field(discriminator="kind")]


class Sweep(Ours):
    """A search for better settings of an experiment: many trainings that a W&B sweep file describes."""

    experiment: str
    """The experiment that is varied."""
    file: str
    """The sweep file, in W&B's format; its parameters are dotted paths of the experiment, as training.learning_rate."""


def _memory(text: str) -> str:
    """An amount of memory, as one word."""
    memory_of(text)
    return text.replace(" ", "")


class Execution(Settings):
    """How jobs run; nothing here influences a result."""

    wandb: Literal["disabled", "offline", "online"] = "disabled"
    """Whether training reports to Weights & Biases; `offline` needs no network."""
    tensorboard: bool = False
    """Whether training also writes what TensorBoard shows, to logs/tensorboard (needs the package tensorboard)."""
    engine: Literal["ddp", "fsdp"] = "ddp"
    """How a training with several processes divides the work. ddp: each holds the whole model; fsdp: each holds a shard of
    weights, gradients and optimizer, for models that do not fit into one device. The results differ by rounding."""
    checkpoint_seconds: float = Field(default=60.0, gt=0)
    """Seconds between checkpoints of a training."""
    milestone_every: PositiveInt | None = None
    """Steps between checkpoints that stay when a training is finished, to look into it later."""
    sample_every: PositiveInt | None = None
    """Steps of a training between samples of what a language model writes, shown in its log."""
    fits: Annotated[str, AfterValidator(_memory)] | None = None
    """The memory of the device that trains, as 80GB, 74.5GiB or the name of one that `machine` knows. A training that by its
    estimate needs more on any of its devices ends the run before it starts, with one line that says what would fit; by default
    nothing is refused."""
    time_limit: PositiveFloat | None = None
    """Seconds after which a training stops with a checkpoint, and its job fails; the same command goes on."""
    jobs: dict[str, JobSettings] = {}
    """What jobs ask a cluster for: `all` for every stage, and the name of a stage for what it asks beyond that."""
    machine: MachineSettings = MachineSettings()
    """What trains, for the estimates of time, energy and money."""
    container: str | None = None
    """The image in which jobs run under `--sdm apptainer`: a file or an address; none if not given."""

    def job(self, stage: str) -> JobSettings:
        """What a job of `stage` asks for."""
        return self.jobs.get(stage, JobSettings()).over(self.jobs.get("all", JobSettings()))

    def spread(self, experiment: Experiment) -> SpreadSettings:
        """Over how many processes the experiment's training goes, and how; counting goes in one."""
        job = experiment.job.over(self.job("train"))
        processes = job.nodes * job.processes_per_node if experiment.model.trained_by == "gradient" else 1
        return SpreadSettings(processes=processes, engine=self.engine)


class Config(Settings):
    """A whole config file."""

    name: Name
    """Names the report."""
    title: str = "Language models"
    """The report's heading."""
    corpora: dict[Name, CorpusSettings]
    tokenizers: dict[Name, Tokenizer]
    experiments: dict[Name, Experiment]
    studies: dict[Name, Study] = {}
    """Measurements beside the experiments."""
    sweeps: dict[Name, Sweep] = {}
    """Searches for better settings of experiments."""
    execution: Execution = Execution()
    _searches: dict[str, SearchSettings] = PrivateAttr(default_factory=dict)
    _scalings: dict[str, ScalingSettings] = PrivateAttr(default_factory=dict)

    @property
    def searches(self) -> dict[str, SearchSettings]:
        """What each sweep searches, by the name of the sweep."""
        return self._searches

    @property
    def scalings(self) -> dict[str, ScalingSettings]:
        """What each scaling study trains, by the name of the study."""
        return self._scalings


def schema() -> dict[str, Any]:
    """The JSON schema of a config file; entries of named sections may also hold `extends`."""
    document = TypeAdapter(Config).json_schema()
    for section in NAMED:
        named = document["properties"][section]["patternProperties"]
        for pattern, entry in named.items():
            named[pattern] = {"anyOf": [{"$ref": "#/$defs/Extending"}, entry]}
    document["$defs"]["Extending"] = {
        "type": "object",
        "properties": {"extends": {"type": "string", "description": "The entry of this section to start from."}},
        "required": ["extends"],
    }
    return document


if __name__ == "__main__":
    import sys

    json.dump(schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
