"""What word vectors cost: two tables, and for each prediction an inner product with each candidate."""

from stages.lm.models.vectors.settings import CbowSettings, VectorSettings


def parameters(settings: VectorSettings, vocab_size: int) -> dict[str, int]:
    """By component, exact."""
    return {"embedding": vocab_size * settings.d_model, "head": vocab_size * settings.d_model}


def predictions(settings: VectorSettings) -> int:
    """What one token of a batch makes the model compute: one prediction, or one for each place of its context, also where the
    drawn context is shorter."""
    return 1 if isinstance(settings, CbowSettings) else 2 * settings.window


def counted(settings: VectorSettings) -> int:
    """How many of these count on average: the drawn contexts reach (window + 1) / 2 on either side."""
    return 1 if isinstance(settings, CbowSettings) else settings.window + 1


def forward_flops_per_token(settings: VectorSettings) -> dict[str, int]:
    """For each prediction that counts."""
    products = predictions(settings) * 2 * settings.d_model * (1 + settings.negatives)
    return {"head": round(products / counted(settings))}
