"""The memory of training a transformer as it is counted by hand in courses: 16 bytes a parameter, and a list of activations.

In float32, everything kept: for each block, with B sequences of T positions, d numbers each, and h heads, 2 BTd for the norms,
3 BTd for queries, keys and values, BhT^2 each for scores and softmax, BTd each for the weighted sum and the output projection,
4 BTd each for W1 and the activation, BTd for W2: 16 BTd + 2 BhT^2. With d_ff = 4 d a gated network has W3 and the product of
the gate too: 8 BTd more, which the usual list leaves out. At the end BTd for the last norm and BTV each for logits and loss.
Fused kernels never hold the scores, and slices of the head never all logits, so training here takes less: see `memory`.
"""

from stages.lm.accounting import transformer
from stages.lm.models.block_settings import GATED
from stages.lm.models.settings import TransformerSettings

FLOAT32 = 4


def course_memory(settings: TransformerSettings, vocab_size: int, batch: int, *, count_gate: bool = True) -> dict[str, int]:
    """Bytes by component, and their `total`, for `batch` sequences as long as the context and AdamW."""
    parameters = sum(transformer.parameters(settings, vocab_size).values())
    positions, d = batch * settings.context_length, settings.d_model
    gate = 2 * settings.feed_forward_width if count_gate and settings.feed_forward in GATED else 0
    block = positions * (8 * d + 2 * settings.feed_forward_width + gate)
    parts = {
        "weights": FLOAT32 * parameters,
        "gradients": FLOAT32 * parameters,
        "optimizer": 2 * FLOAT32 * parameters,
        "blocks": FLOAT32 * settings.layers * block,
        "attention_scores": FLOAT32 * settings.layers * 2 * positions * settings.heads * settings.context_length,
        "final_norm": FLOAT32 * positions * d,
        "logits": FLOAT32 * 2 * positions * vocab_size,
    }
    return parts | {"total": sum(parts.values())}
