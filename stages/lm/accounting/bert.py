"""What BERT costs: the blocks as any transformer's, and an output layer that the predicted tokens alone go through."""

from typing import Any

import torch

from stages.lm.accounting import transformer
from stages.lm.models.bert.model import IGNORED
from stages.lm.models.bert.settings import BertSettings
from stages.lm.training.batches import Batch
from stages.lm.training.settings import TrainingSettings

FLOAT32 = 4


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


def activations(settings: BertSettings, training: TrainingSettings, vocab_size: int) -> dict[str, int]:
    """Bytes that the forward pass of one micro-batch leaves behind, and of the logits at the peak."""
    predictions = round(settings.mask_share * training.micro_batch * settings.context_length)
    return transformer.saved(settings, training) | {"logits": 3 * FLOAT32 * predictions * vocab_size}


def random_batch(settings: BertSettings, training: TrainingSettings, vocab_size: int) -> Batch:
    """Random tokens in the shape of the run's own batches."""
    ids = torch.randint(vocab_size, (training.batch_size, settings.context_length))
    targets: Any = ids.masked_fill(torch.rand(ids.shape) > settings.mask_share, IGNORED)
    targets[:, 0] = ids[:, 0]
    return Batch((ids, targets), int((targets != IGNORED).sum()), read=ids.numel())
