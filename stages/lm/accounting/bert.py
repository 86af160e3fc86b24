"""What BERT costs: the blocks as any transformer's, and an output layer that the predicted tokens alone go through."""

from stages.lm.accounting import transformer
from stages.lm.models.bert.settings import BertSettings


def parameters(settings: BertSettings, vocab_size: int) -> dict[str, int]:
    """By component, exact; the token vectors, [MASK]'s included, are the output layer's matrix too."""
    d, per_norm = settings.d_model, _norm_parameters(settings)
    blocks = transformer.block_parameters(settings)
    return {
        "embedding": (vocab_size + 1) * d,
        **blocks,
        "norms": blocks["norms"] + 2 * per_norm,  # after the embeddings, and in the output layer
        "head": d * d + d + vocab_size,
    }


def _norm_parameters(settings: BertSettings) -> int:
    """Of one norm."""
    return {"rms": 1, "layer": 2}[settings.norm] * settings.d_model if settings.norm_position != "none" else 0


def forward_flops(settings: BertSettings, vocab_size: int, length: int, predictions: float) -> dict[str, float]:
    """Operations of a forward pass over a sequence of that length, of which so many tokens are predicted, by component.

    Every query is multiplied with every key, also where a pattern hides some.
    """
    d = settings.d_model
    scores = settings.layers * 4 * length * length * settings.heads * settings.head_width
    return {
        **transformer.block_flops(settings, length, scores),
        "head": 2 * predictions * d * (d + vocab_size),
    }


def forward_flops_per_token(settings: BertSettings, vocab_size: int, length: int | None = None) -> dict[str, int]:
    """The same for each token read, as many predicted as training hides on average."""
    length = length or settings.context_length
    flops = forward_flops(settings, vocab_size, length, settings.mask_share * length)
    return {name: round(value / length) for name, value in flops.items()}
