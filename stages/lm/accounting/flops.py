"""Floating-point operations of the matrix products of a model: a product of (m, n) and (n, p) takes 2 m n p.

Kaplan et al. 2020, appendix B, with the scores counted over whole sequences as they are computed, masked or not. A backward pass
takes twice the forward pass. What is no matrix product is counted apart in `elementwise`, the optimizer's step in `update`.
"""

from importlib import import_module

from stages.lm.accounting import bert, recurrent, transformer, translation, vectors
from stages.lm.accounting.parameters import VARIANT
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.huggingface.settings import HuggingFaceSettings
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.seq2seq.settings import TranslatorSettings
from stages.lm.models.settings import ModelSettings, NgramSettings
from stages.lm.models.stack_settings import StackSettings
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.training.settings import TrainingSettings

PASSES = 3
"""Forward, and backward for inputs and for weights."""


def forward_flops_per_token(
    settings: ModelSettings, vocab_size: int, sequence_length: int | None = None, lengths: tuple[float, float] | None = None
) -> dict[str, int]:
    """Operations of a forward pass by component, for each token of a sequence of that length (by default the whole context).

    For a translator both sentences have that length, or the two their own `lengths`; its tokens are those that it predicts.
    Counting models have none: their work is sorting and searching.
    """
    if isinstance(settings, NgramSettings):
        return {"total": 0}
    if isinstance(settings, RecurrentSettings):
        flops = recurrent.forward_flops_per_token(settings, vocab_size)
    elif isinstance(settings, TranslatorSettings):
        length = sequence_length or settings.context_length
        flops = translation.forward_flops_per_token(settings, vocab_size, *(lengths or (length, length)))
    elif isinstance(settings, BertSettings):
        flops = bert.forward_flops_per_token(settings, vocab_size, sequence_length)
    elif isinstance(settings, VectorSettings):
        flops = vectors.forward_flops_per_token(settings)
    elif isinstance(settings, HuggingFaceSettings):
        flops = import_module(VARIANT).forward_flops_per_token(settings, vocab_size, sequence_length or settings.context_length)
    else:
        length = sequence_length or settings.context_length
        flops = {name: round(all_ / length) for name, all_ in transformer.forward_flops(settings, vocab_size, length).items()}
    return flops | {"total": sum(flops.values())}


def training_flops(forward_per_token: dict[str, int], tokens: int) -> int:
    """Operations of training on so many tokens, forward and backward."""
    return PASSES * forward_per_token["total"] * tokens


def backward_flops_per_token(forward_per_token: dict[str, int]) -> dict[str, int]:
    """Operations of a backward pass by component: the gradient of each factor of a product takes a product of the same size."""
    return {name: (PASSES - 1) * value for name, value in forward_per_token.items()}


def recomputed_flops_per_token(
    settings: ModelSettings, training: TrainingSettings, forward_per_token: dict[str, int]
) -> dict[str, int]:
    """Operations that activation checkpointing adds, a second forward pass of the blocks, as far as a gradient needs it.

    They are no operations of the model: the utilisation that papers report is without them.
    """
    if not training.activation_checkpointing or not hasattr(settings, "layers"):
        return {"total": 0}
    again = {name: value for name, value in forward_per_token.items() if name not in ("head", "total")}
    if isinstance(settings, StackSettings) and settings.norm_position != "post" and not settings.dropout:
        again["feed_forward"] -= settings.layers * 2 * settings.d_model * settings.feed_forward_width  # nothing needs W2's output
    return again | {"total": sum(again.values())}
