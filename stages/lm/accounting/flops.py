"""Floating-point operations of the matrix products of a model: a product of (m, n) and (n, p) takes 2 m n p.

Kaplan et al. 2020, appendix B, with the scores counted over whole sequences as they are computed, masked or not. A backward pass
takes twice the forward pass.
"""

from stages.lm.accounting import bert, recurrent, transformer, translation, vectors
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.seq2seq.settings import TranslatorSettings
from stages.lm.models.settings import ModelSettings, NgramSettings
from stages.lm.models.vectors.settings import VectorSettings

PASSES = 3
"""Forward, and backward for inputs and for weights."""


def forward_flops_per_token(settings: ModelSettings, vocab_size: int, sequence_length: int | None = None) -> dict[str, int]:
    """Operations of a forward pass by component, for each token of a sequence of that length (by default the whole context).

    For a translator both sentences have that length, and its tokens are those that it predicts. Counting models have none: their
    work is sorting and searching.
    """
    if isinstance(settings, NgramSettings):
        return {"total": 0}
    if isinstance(settings, RecurrentSettings):
        flops = recurrent.forward_flops_per_token(settings, vocab_size)
    elif isinstance(settings, TranslatorSettings):
        length = sequence_length or settings.context_length
        flops = translation.forward_flops_per_token(settings, vocab_size, length, length)
    elif isinstance(settings, BertSettings):
        flops = bert.forward_flops_per_token(settings, vocab_size, sequence_length)
    elif isinstance(settings, VectorSettings):
        flops = vectors.forward_flops_per_token(settings)
    else:
        length = sequence_length or settings.context_length
        flops = {name: round(all_ / length) for name, all_ in transformer.forward_flops(settings, vocab_size, length).items()}
    return flops | {"total": sum(flops.values())}


def training_flops(forward_per_token: dict[str, int], tokens: int) -> int:
    """Operations of training on so many tokens, forward and backward."""
    return PASSES * forward_per_token["total"] * tokens
