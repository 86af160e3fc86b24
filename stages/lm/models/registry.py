"""The model families by name. A new family is one line here and its settings in `settings.ModelSettings`."""

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from stages.lm.errors import UserError
from stages.lm.models.settings import ModelSettings
from stages.lm.settings import Settings, parse

if TYPE_CHECKING:
    from stages.lm.models.interface import LanguageModel

FAMILIES = {
    "transformer": "stages.lm.models.transformer:TransformerLM",
    "ngram": "stages.lm.models.ngram.model:NgramLM",
    "rnn": "stages.lm.models.recurrent.rnn:RnnLM",
    "lstm": "stages.lm.models.recurrent.lstm:LstmLM",
    "gru": "stages.lm.models.recurrent.gru:GruLM",
    "rnn-seq2seq": "stages.lm.models.seq2seq.recurrent:RnnSeq2Seq",
    "transformer-seq2seq": "stages.lm.models.seq2seq.transformer:TransformerSeq2Seq",
    "bert": "stages.lm.models.bert.model:BertLM",
    "skipgram": "stages.lm.models.vectors.model:SkipGram",
    "cbow": "stages.lm.models.vectors.model:Cbow",
    "huggingface": "stages.lm.models.huggingface.model:HuggingFaceLM",
}

DESCRIPTION = "model.json"


class ModelDescription(Settings):
    """What `model.json` says beside the weights: enough to rebuild the model and to know its tokenizer."""

    family: str
    settings: ModelSettings
    vocab_size: int = Field(ge=1)
    end_of_text: int
    tokenizer: str
    """Digest of the tokenizer artifact: the model is of no use with another."""
    tokens: str
    """Digest of the token artifact that it was trained on."""

    @property
    def context_length(self) -> int:
        """The longest text that it reads, in tokens; families without such a limit have none."""
        return int(self.settings.model_dump()["context_length"])


def module_of(family: str) -> str:
    """The module that implements a family, for hashing its code."""
    return FAMILIES[family].partition(":")[0]


def build(settings: ModelSettings, vocab_size: int, seed: int) -> "LanguageModel":
    """An untrained model; the same seed gives the same weights, and torch's global generator is left as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cast("LanguageModel", _class_of(settings.family).from_settings(settings, vocab_size))


def save(model: "LanguageModel", description: ModelDescription, folder: Path) -> None:
    """Write the weights and `model.json`."""
    model.save(folder)
    (folder / DESCRIPTION).write_text(json.dumps(description.resolved(), indent=2) + "\n", encoding="utf-8")


def describe(folder: Path) -> ModelDescription:
    """What `model.json` says. Raises UserError if it is absent or not understood."""
    file = folder / DESCRIPTION
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        raise UserError(f"{file}: is absent or no JSON; train the model again") from None
    return parse(ModelDescription, content, str(file))


def check_tokenizer(folder: Path, digest: str, other: Path) -> None:
    """Raise UserError unless the model in `folder` was trained with the tokenizer of this `digest`, which `other` brings."""
    trained_with = describe(folder).tokenizer
    if trained_with != digest:
        raise UserError(
            f"{other}: comes from the tokenizer {digest}, but the model {folder} was trained with the tokenizer "
            f"{trained_with}; give both the same one"
        )


def load(folder: Path) -> "LanguageModel":
    """The trained model in the artifact directory `folder`."""
    description = describe(folder)
    cls = _class_of(description.settings.family)
    return cast("LanguageModel", cls.load(folder, description.settings, description.vocab_size))


def _class_of(family: str) -> Any:
    module, _, name = FAMILIES[family].partition(":")
    return getattr(import_module(module), name)
