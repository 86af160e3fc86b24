"""How many parameters a model has, by component, from its settings alone."""

from stages.lm.models.settings import NgramSettings, TransformerSettings


def parameters(settings: TransformerSettings | NgramSettings, vocab_size: int, tokens: int) -> dict[str, int]:
    """Parameters by component, and their `total`; `tokens` is the size of the training split.

    For a transformer they are exact. An n-gram model has one for each n-gram that occurs: no more than there are tokens, and
    no more than there can be.
    """
    if isinstance(settings, NgramSettings):
        lengths = range(1, settings.order + 1)
        counts = {f"{n}-grams": vocab_size if n == 1 else min(tokens, vocab_size**n) for n in lengths}
    else:
        counts = _transformer(settings, vocab_size)
    return counts | {"total": sum(counts.values())}


def _transformer(settings: TransformerSettings, vocab_size: int) -> dict[str, int]:
    d, layers = settings.d_model, settings.layers
    matrices = 3 if settings.feed_forward == "swiglu" else 2
    return {
        "embedding": 0 if settings.tie_embeddings else vocab_size * d,
        "attention": layers * 4 * d * d,
        "feed_forward": layers * matrices * d * settings.feed_forward_width,
        "norms": (2 * layers + 1) * d,
        "head": vocab_size * d,
    }
