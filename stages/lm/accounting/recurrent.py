"""What a recurrent model costs: its parameters and operations, by component.

Every layer maps its input and its state by `gates` matrices of (d_model, d_model) each, at every position once.
"""

from stages.lm.models.recurrent.settings import RecurrentSettings


def parameters(settings: RecurrentSettings, vocab_size: int) -> dict[str, int]:
    """Parameters by component, exact."""
    d, gates = settings.d_model, settings.layers * settings.gates
    return {
        "embedding": 0 if settings.tie_embeddings else vocab_size * d,
        "input": gates * d * d,
        "recurrence": gates * d * d,
        "biases": gates * d,
        "head": vocab_size * d,
    }


def forward_flops_per_token(settings: RecurrentSettings, vocab_size: int) -> dict[str, int]:
    """Operations of a forward pass by component for each token, however many came before it."""
    d, gates = settings.d_model, settings.layers * settings.gates
    return {"input": 2 * gates * d * d, "recurrence": 2 * gates * d * d, "head": 2 * d * vocab_size}
