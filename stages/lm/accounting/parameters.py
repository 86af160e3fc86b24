"""How many parameters a model has, by component, from its settings alone."""

from importlib import import_module

from stages.lm.accounting import bert, recurrent, transformer, translation, vectors
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.huggingface.settings import HuggingFaceSettings
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.seq2seq.settings import TranslatorSettings
from stages.lm.models.settings import ModelSettings, NgramSettings
from stages.lm.models.vectors.settings import VectorSettings

VARIANT = "stages.lm.accounting.huggingface"
"""What counts variants; loaded by name, as it runs models, which no other count needs."""


def parameters(settings: ModelSettings, vocab_size: int, tokens: int) -> dict[str, int]:
    """Parameters by component, and their `total`; `tokens` is the size of the training split.

    They are exact but for an n-gram model, which has one for each n-gram that occurs: no more than there are tokens, and no more
    than there can be.
    """
    if isinstance(settings, NgramSettings):
        lengths = range(1, settings.order + 1)
        counts = {f"{n}-grams": vocab_size if n == 1 else min(tokens, vocab_size**n) for n in lengths}
    elif isinstance(settings, RecurrentSettings):
        counts = recurrent.parameters(settings, vocab_size)
    elif isinstance(settings, TranslatorSettings):
        counts = translation.parameters(settings, vocab_size)
    elif isinstance(settings, BertSettings):
        counts = bert.parameters(settings, vocab_size)
    elif isinstance(settings, VectorSettings):
        counts = vectors.parameters(settings, vocab_size)
    elif isinstance(settings, HuggingFaceSettings):
        counts = import_module(VARIANT).parameters(settings, vocab_size)
    else:
        counts = transformer.parameters(settings, vocab_size)
    return counts | {"total": sum(counts.values())}
