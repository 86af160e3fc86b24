"""The operations of a training by what they belong to: forward and backward pass by component, and the optimizer's step."""

from typing import Any

from stages.lm.accounting import flops
from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.elementwise import elementwise_flops_per_token, translator
from stages.lm.accounting.update import update_flops
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TransformerSeq2SeqSettings
from stages.lm.models.settings import ModelSettings
from stages.lm.training.settings import TrainSettings


def breakdown(
    settings: TrainSettings, vocab_size: int, forward: dict[str, int], tokens: int, lengths: Lengths | None = None
) -> dict[str, Any]:
    """Operations for each token, each step, and the whole training over so many tokens.

    `training_total` are the products of both passes: what utilisation is measured by, and what models are compared at.
    """
    return {
        "forward_per_token": forward,
        "backward_per_token": flops.backward_flops_per_token(forward),
        "recomputed_per_token": flops.recomputed_flops_per_token(settings.model, settings.training, forward),
        "elementwise_per_token": _elementwise(settings.model, vocab_size, lengths),
        "update_per_step": update_flops(settings.model, settings.training, vocab_size),
        "training_total": flops.training_flops(forward, tokens),
    }


def _elementwise(model: ModelSettings, vocab_size: int, lengths: Lengths | None) -> dict[str, int]:
    """Of a forward pass; of a translator at the lengths of its sentences."""
    if lengths is None or not isinstance(model, TransformerSeq2SeqSettings | RnnSeq2SeqSettings):
        return elementwise_flops_per_token(model, vocab_size)
    parts = {name: round(value / lengths.target) for name, value in translator(model, vocab_size, *lengths).items() if value}
    return parts | {"total": sum(parts.values())}
