"""The config file: named corpora, tokenizers and experiments that refer to each other by name.

The settings of each part are defined beside the code that uses them; here they are put together, `extends` is resolved and
references are checked. `python -m workflow.config` prints the JSON schema, which editors can use.
"""

import json
from collections.abc import Mapping
from pathlib import Path
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

from stages.lm import artifacts, script
from stages.lm.accounting.devices import memory_of
from stages.lm.accounting.settings import MachineSettings, SpreadSettings
from stages.lm.bpe.settings import BpeSettings
from stages.lm.corpus.settings import CorpusSettings
from stages.lm.errors import UserError
from stages.lm.evaluation.settings import EvaluationSettings, MaskedSettings, SplitSettings, VectorsSettings
from stages.lm.hub.folder import layout_for
from stages.lm.hub.settings import SAMPLING, ExportSettings
from stages.lm.hub.tokenizer import check_kind
from stages.lm.inference.settings import DecodingSettings, TranslationSettings
from stages.lm.models.settings import ModelSettings, NgramSettings, TransformerSettings
from stages.lm.scaling import runs as scaling_runs
from stages.lm.scaling.runs import ScalingSettings, ScalingStudy
from stages.lm.settings import Settings, parse, unknown
from stages.lm.studies.settings import AccountingStudy, ComplexityStudy, GradientStudy, TokenizerStudy
from stages.lm.sweeps import search, trials
from stages.lm.sweeps.search import Ours, SearchSettings
from stages.lm.sweeps.settings import load as load_sweep
from stages.lm.tokenizers.settings import ByteSettings, CharacterSettings, WordSettings, with_kind
from stages.lm.training.settings import TrainingSettings, TrainSettings
from workflow.jobs import JobSettings

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*$")]
"""Names become folder names: letters, digits, `_`, `.` and single `-`."""

NAMED = ("corpora", "tokenizers", "experiments", "studies")
"""Sections whose entries have names, and may extend each other."""

KINDS = ("source", "family", "kind")
"""Keys that decide which other keys a mapping may hold."""

SHOWN_BY = {"language model": "decoding", "translation": "translation", "masked": "masked", "vectors": "vectors"}
"""Under which key an experiment says what is shown of its model, by the model's task."""


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


def read(data: Mapping[str, Any]) -> Config:
    """The validated config of a file's raw content. Raises UserError naming the key and what is allowed there."""
    resolved = {key: _resolve_extends(value, key) if key in NAMED else value
                for key, value in data.items()}  # fmt: skip
    config = parse(Config, resolved, "")
    for name, tokenizer in config.tokenizers.items():
        _check_reference(f"tokenizers.{name}.corpus", "corpus", tokenizer.corpus, config.corpora)
    for name, experiment in config.experiments.items():
        _check_reference(f"experiments.{name}.tokenizer", "tokenizer", experiment.tokenizer, config.tokenizers)
        if experiment.corpus is not None:
            _check_reference(f"experiments.{name}.corpus", "corpus", experiment.corpus, config.corpora)
        tokenizer = config.tokenizers[experiment.tokenizer]
        _check_task(name, experiment, config.corpora[experiment.corpus or tokenizer.corpus])
        _check_export(f"experiments.{name}.export", experiment, tokenizer)
        _check_processes(f"experiments.{name}.training.backend", experiment, config.execution)
        if experiment.decoding.draft is not None:
            _check_draft(f"experiments.{name}.decoding.draft", name, experiment.decoding.draft, config.experiments)
    for name, study in config.studies.items():
        _check_study(f"studies.{name}", study, config)
        if isinstance(study, ScalingOf):
            config.scalings[name] = _scaled(f"studies.{name}", study, resolved["experiments"][study.experiment])
    for name, sweep in config.sweeps.items():
        _check_reference(f"sweeps.{name}.experiment", "experiment", sweep.experiment, config.experiments)
        config.searches[name] = _searched(f"sweeps.{name}", sweep, resolved["experiments"][sweep.experiment])
    for name in config.execution.jobs:
        if name not in ("all", *artifacts.FORMATS):
            raise UserError(unknown(f"execution.jobs.{name}", "stage", name, ["all", *artifacts.FORMATS]))
    return config


def _check_task(name: str, experiment: Experiment, corpus: CorpusSettings) -> None:
    """Raise UserError unless the model's task fits its corpus and what else the experiment says."""
    family, translates = experiment.model.family, experiment.model.task == "translation"
    if translates != (corpus.source == "parallel"):
        needed = "`source: parallel`" if translates else "single texts, not of sentence pairs"
        raise UserError(f"experiments.{name}.model.family: {family} needs a corpus of {needed}; give it another corpus or family")
    parse(TrainSettings, {"model": experiment.model, "training": experiment.training}, f"experiments.{name}")
    own = SHOWN_BY[experiment.model.task]
    for useless in set(SHOWN_BY.values()) - {own}:
        if useless in experiment.model_fields_set:
            raise UserError(f"experiments.{name}.{useless}: means nothing to the family {family}; its settings are under {own}")
    if experiment.model.task != "language model":
        for useless in experiment.evaluation.model_fields_set - SplitSettings.model_fields.keys():
            raise UserError(f"experiments.{name}.evaluation.{useless}: means nothing to the family {family}; leave it out")


def _check_processes(where: str, experiment: Experiment, execution: Execution) -> None:
    """Raise UserError where a training that goes in one process is to go in several."""
    processes = execution.spread(experiment).processes
    if experiment.training.backend == "trainer" and processes > 1:
        raise UserError(f"{where}: trainer trains in one process, and its job asks for {processes}; take the backend loop")


def _check_export(where: str, experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Raise UserError where the model is to be exported and it, its tokenizer or its settings have no form in transformers."""
    if experiment.export is None:
        return
    try:
        layout_for(experiment.model, experiment.export.layout)
        check_kind(tokenizer)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    useless = [key for key in SAMPLING if key in experiment.export.model_fields_set]
    if useless and experiment.model.task != "language model":
        family = experiment.model.family
        raise UserError(f"{where}.{useless[0]}: means nothing to the family {family}, which does not sample; leave it out")


def _check_draft(where: str, name: str, draft: str, experiments: Mapping[str, Experiment]) -> None:
    """Raise UserError unless the experiment `draft` can draft for `name`: two models whose texts are made of the same tokens."""
    _check_reference(where, "experiment", draft, experiments)
    for one in (name, draft):
        model = experiments[one].model
        if not (isinstance(model, NgramSettings) or (isinstance(model, TransformerSettings) and model.attention != "linear")):
            raise UserError(
                f"{where}: {one} cannot take tokens back; only n-gram models and transformers without linear attention draft, or "
                "are drafted for"
            )
    if experiments[draft].decoding.draft is not None:
        raise UserError(f"{where}: {draft} has a draft of its own; name an experiment without one")
    if experiments[draft].tokenizer != experiments[name].tokenizer:
        raise UserError(f"{where}: {draft} has another tokenizer than {name}; name an experiment with the same one")


def load(file: Path) -> Config:
    """The validated config in a YAML file."""
    return read(script.read_settings(str(file)))


def merge(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """`child` over `parent`: mappings merge key by key, anything else is replaced.

    A mapping of another kind (`family: lstm` over `family: transformer`) replaces its parent whole: the keys of the one
    mean nothing to the other.
    """
    if any(key in parent and key in child and parent[key] != child[key] for key in KINDS):
        return dict(child)
    merged = dict(parent)
    for key, value in child.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _resolve_extends(entries: Any, path: str) -> Any:
    """Every entry of a named section merged over those that it extends; sections of another form are left to validation."""
    if not isinstance(entries, Mapping):
        return entries
    return {name: _extended(entries, str(name), path, ()) for name in entries}


def _extended(entries: Mapping[str, Any], name: str, path: str, below: tuple[str, ...]) -> Any:
    entry = entries[name]
    if not isinstance(entry, Mapping) or "extends" not in entry:
        return entry
    own = {key: value for key, value in entry.items() if key != "extends" or path == "experiments"}  # these remember
    parent = entry["extends"]
    where = f"{path}.{name}.extends"
    if not isinstance(parent, str):
        raise UserError(f"{where}: should be the name of another entry of {path}, not {parent!r}")
    if parent in (*below, name):
        raise UserError(f"{where}: goes in a circle: {' -> '.join([*below, name, parent])}")
    _check_reference(where, "entry", parent, entries)
    above = _extended(entries, parent, path, (*below, name))
    return merge(above, own) if isinstance(above, Mapping) else above


def _check_reference(where: str, what: str, name: str, existing: Mapping[str, Any]) -> None:
    if name not in existing:
        raise UserError(unknown(where, what, name, existing))


def _check_study(where: str, study: Study, config: Config) -> None:
    if isinstance(study, AccountingStudy):
        return
    if isinstance(study, ScalingOf):
        _check_reference(f"{where}.experiment", "experiment", study.experiment, config.experiments)
        return
    if isinstance(study, TokenizersOf):
        for tokenizer in study.tokenizers or ():
            _check_reference(f"{where}.tokenizers", "tokenizer", tokenizer, config.tokenizers)
        for corpus in study.corpora or ():
            _check_reference(f"{where}.corpora", "corpus", corpus, config.corpora)
        return
    where = f"{where}.experiments"
    for name in study.experiments:
        _check_reference(where, "experiment", name, config.experiments)
    tokens = {(config.experiments[name].tokenizer, config.experiments[name].corpus) for name in study.experiments}
    if len(tokens) > 1:
        raise UserError(f"{where}: {', '.join(study.experiments)} have different tokenizers or corpora; name such as share both")


def _varied(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """What may be varied of an experiment, as its config has it."""
    return {key: experiment[key] for key in trials.VARIED if key in experiment}


def _searched(where: str, sweep: Sweep, experiment: Mapping[str, Any]) -> SearchSettings:
    """What a sweep searches. Raises UserError where its file, or a value for the experiment, is wrong."""
    try:
        base = _varied(experiment)
        if trials.train_settings(base, {}).model.trained_by != "gradient":
            raise UserError(f"experiment {sweep.experiment} is trained by counting, so that no loss can be compared")
        searched = SearchSettings.of(load_sweep(Path(sweep.file)), sweep, base)
        search.check(searched)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return searched


def _scaled(where: str, study: ScalingOf, experiment: Mapping[str, Any]) -> ScalingSettings:
    """What a scaling study trains. Raises UserError where its experiment does not allow it, or budgets are too small."""
    given = {name: getattr(study, name) for name in ScalingStudy.model_fields}
    scaled = ScalingSettings(**given, base=_varied(experiment))
    try:
        scaling_runs.check(scaled)
    except UserError as error:
        raise UserError(f"{where}: experiment {study.experiment}: {error}") from None
    return scaled


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
