"""Floating-point operations of the matrix products of a model: a product of (m, n) and (n, p) takes 2 m n p.

Kaplan et al. 2020, appendix B, with the scores counted over whole sequences as they are computed, masked or not. A backward pass
takes twice the forward pass.
"""

from stages.lm.models.settings import NgramSettings, TransformerSettings

PASSES = 3
"""Forward, and backward for inputs and for weights."""


def forward_flops_per_token(
    settings: TransformerSettings | NgramSettings, vocab_size: int, sequence_length: int | None = None
) -> dict[str, int]:
    """Operations of a forward pass by component, for each token of a sequence of that length (by default the whole context).

    Counting models have none: their work is sorting and searching.
    """
    if isinstance(settings, NgramSettings):
        return {"total": 0}
    d, layers = settings.d_model, settings.layers
    length = sequence_length or settings.context_length
    matrices = 3 if settings.feed_forward == "swiglu" else 2
    flops = {
        "attention_projections": layers * 8 * d * d,
        "attention_scores": layers * 4 * length * d,
        "feed_forward": layers * 2 * matrices * d * settings.feed_forward_width,
        "head": 2 * d * vocab_size,
    }
    return flops | {"total": sum(flops.values())}


def training_flops(forward_per_token: dict[str, int], tokens: int) -> int:
    """Operations of training on so many tokens, forward and backward."""
    return PASSES * forward_per_token["total"] * tokens
