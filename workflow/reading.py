"""Reading a config: `extends` is resolved, the form is validated, references and what does not go together are checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.lm import artifacts, script
from stages.lm.corpus.settings import CorpusSettings
from stages.lm.errors import UserError
from stages.lm.evaluation.settings import SplitSettings
from stages.lm.hub.folder import layout_for
from stages.lm.hub.settings import SAMPLING
from stages.lm.hub.tokenizer import check_kind
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.settings import NgramSettings, TransformerSettings
from stages.lm.scaling import runs as scaling_runs
from stages.lm.scaling.runs import ScalingSettings, ScalingStudy
from stages.lm.settings import parse, unknown
from stages.lm.studies.settings import AccountingStudy
from stages.lm.sweeps import search, trials
from stages.lm.sweeps.search import SearchSettings
from stages.lm.sweeps.settings import load as load_sweep
from stages.lm.training.settings import TrainSettings
from workflow.config import NAMED, Config, Execution, Experiment, ScalingOf, Study, Sweep, Tokenizer, TokenizersOf

KINDS = ("source", "family", "kind")
"""Keys that decide which other keys a mapping may hold."""

SHOWN_BY = {"language model": "decoding", "translation": "translation", "masked": "masked", "vectors": "vectors"}
"""Under which key an experiment says what is shown of its model, by the model's task."""


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
        _check_computing(f"experiments.{name}", experiment)
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


def _check_computing(where: str, experiment: Experiment) -> None:
    """Raise UserError where the model cannot be decoded or evaluated in the way that is asked for."""
    model, decoding, stride = experiment.model, experiment.decoding, experiment.evaluation.stride
    if not (isinstance(model, TransformerSettings) and model.attention != "linear"):
        for key, is_asked in {"compile": decoding.compile, "precision": decoding.precision != "fp32"}.items():
            if is_asked:
                raise UserError(f"{where}.decoding.{key}: only decoders with softmax attention are decoded so; leave it out")
    longest = None if isinstance(model, RecurrentSettings) else getattr(model, "context_length", None)
    if stride is not None and longest is not None and stride > longest:
        raise UserError(
            f"{where}.evaluation.stride: is {stride:,}, but the model sees {longest:,} tokens; choose no more than that"
        )


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
