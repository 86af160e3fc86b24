"""The memory that training takes at its peak, by component, from the settings alone.

Counted is what autograd keeps of this implementation's forward pass until the backward pass needs it (`transformer.saved`,
`recurrent.saved_by_layers`), and of the output layer, whose loss gives its gradients at once (`models/head_loss.py`), these and
one slice of the logits.
"""

from stages.lm.accounting import bert, recurrent, transformer, vectors
from stages.lm.accounting.parameters import inner_matrices
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.head_loss import slice_rows
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.settings import ModelSettings, NgramSettings, TransformerSettings
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.training.settings import TrainingSettings

FLOAT32 = 4


def training_memory(
    settings: ModelSettings, training: TrainingSettings, parameters: int, vocab_size: int, tokens: int
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


def optimizer_state(settings: ModelSettings, training: TrainingSettings, parameters: int) -> int:
    """Bytes of AdamW's two moments; Muon keeps one for the matrices inside the model."""
    return FLOAT32 * (2 * parameters - (inner_matrices(settings) if training.optimizer == "muon" else 0))


def activations(settings: ModelSettings, training: TrainingSettings, vocab_size: int) -> dict[str, int]:
    """Bytes that the forward pass of one micro-batch leaves behind, and of the logits at the peak."""
    if isinstance(settings, BertSettings):
        return bert.activations(settings, training, vocab_size)
    if isinstance(settings, VectorSettings):
        return vectors.activations(settings, training)
    assert isinstance(settings, TransformerSettings | RecurrentSettings), settings.family
    positions = training.micro_batch * settings.context_length
    head = _head(positions, settings.d_model, vocab_size, training)
    if isinstance(settings, RecurrentSettings):
        kept = recurrent.saved_by_layers(settings, positions)
    else:
        kept = transformer.saved(settings, training)
    if training.activation_checkpointing:
        kept = recomputed(kept, settings.layers, positions * settings.d_model)
    return kept | head


def recomputed(kept: dict[str, int], layers: int, numbers: int) -> dict[str, int]:
    """What is kept where blocks are computed again: the inputs of all, so many numbers each, and the rest of one at a time."""
    return {name: bytes_ // layers for name, bytes_ in kept.items()} | {"block_inputs": layers * FLOAT32 * numbers}


def _head(positions: int, d_model: int, vocab_size: int, training: TrainingSettings) -> dict[str, int]:
    """head: the gradients of the output layer's input and weight. logits: of one slice, as products and as log-probabilities."""
    rows = min(positions, slice_rows(vocab_size, "cpu" if training.device == "cpu" else "cuda"))
    width = 2 if training.precision == "bf16" else FLOAT32
    return {"head": FLOAT32 * d_model * (positions + vocab_size), "logits": (FLOAT32 + width) * rows * vocab_size}
