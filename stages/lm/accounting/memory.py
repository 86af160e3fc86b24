"""The memory that training takes at its peak, by component, from the settings alone.

Counted is what autograd keeps of this implementation's forward pass until the backward pass needs it (`saved_per_layer`), and at
the peak, when the backward pass begins, the log-probabilities with their gradient and that of the logits.
"""

from stages.lm.models.kernels import PLAIN_KEYS
from stages.lm.models.settings import NgramSettings, TransformerSettings
from stages.lm.training.settings import TrainingSettings

FLOAT32 = 4


def training_memory(
    settings: TransformerSettings | NgramSettings, training: TrainingSettings, parameters: int, vocab_size: int, tokens: int
) -> dict[str, int]:
    """Bytes by component, and their `total`, without the libraries and what the allocator leaves unused.

    Counting needs, while it sorts the n-grams of one length: the stream, their keys, and the order of these, 8 bytes each.
    """
    if isinstance(settings, NgramSettings):
        bytes_ = {"counts": 2 * 8 * parameters, "stream": 2 * 8 * tokens, "sorting": 3 * 8 * tokens}
    else:
        bytes_ = {
            "weights": FLOAT32 * parameters,
            "gradients": FLOAT32 * parameters,
            "optimizer": optimizer_state(settings, training, parameters),
            **activations(settings, training, vocab_size),
        }
    return bytes_ | {"total": sum(bytes_.values())}


def optimizer_state(settings: TransformerSettings, training: TrainingSettings, parameters: int) -> int:
    """Bytes of AdamW's two moments; Muon keeps one for the matrices inside the blocks."""
    products = 3 if settings.feed_forward == "swiglu" else 2
    inside = settings.layers * (4 * settings.d_model**2 + products * settings.d_model * settings.feed_forward_width)
    return FLOAT32 * (2 * parameters - (inside if training.optimizer == "muon" else 0))


def activations(settings: TransformerSettings, training: TrainingSettings, vocab_size: int) -> dict[str, int]:
    """Bytes that the forward pass of one batch leaves behind, and of the logits at the peak."""
    positions = training.batch_size * settings.context_length
    layers = {name: settings.layers * size for name, size in saved_per_layer(settings, training).items()}
    final = positions * (_norm(settings) + _width(training) * settings.d_model)  # and the head's input
    return layers | {"final_norm": final, "logits": 3 * FLOAT32 * positions * vocab_size}


def saved_per_layer(settings: TransformerSettings, training: TrainingSettings) -> dict[str, int]:
    """Bytes that autograd keeps for the backward pass of one block: positions = batch_size * context_length.

    norms: what both of them keep. attention: the normed input, query, key, value and the attended values, and either the softmax
    of all scores or, in the flash kernel, one number a query and head. feed_forward: the normed input, and what W1, SiLU, W3 and
    the gate give.
    """
    width, d = _width(training), settings.d_model
    positions = training.batch_size * settings.context_length
    if settings.context_length <= PLAIN_KEYS:
        scores = width * positions * settings.heads * settings.context_length
    else:
        scores = FLOAT32 * settings.heads * positions
    inner = 4 if settings.feed_forward == "swiglu" else 2
    return {
        "norms": 2 * positions * _norm(settings),
        "attention": 5 * width * positions * d,
        "attention_scores": scores,
        "feed_forward": width * positions * (d + inner * settings.feed_forward_width),
    }


def _norm(settings: TransformerSettings) -> int:
    """Bytes that one norm keeps of each position: its input, this divided by its root mean square, and the inverse of that."""
    return 2 * FLOAT32 * settings.d_model + FLOAT32


def _width(training: TrainingSettings) -> int:
    """Bytes of a number in the matrix products."""
    return 2 if training.precision == "bf16" else FLOAT32
