"""What word vectors cost: two tables, and for each prediction an inner product with each candidate."""

import torch

from stages.lm.models.vectors.settings import CbowSettings, VectorSettings
from stages.lm.training.batches import Batch
from stages.lm.training.settings import TrainingSettings

FLOAT32 = 4


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


def activations(settings: VectorSettings, training: TrainingSettings) -> dict[str, int]:
    """Bytes that the forward pass of one micro-batch leaves behind: the candidates' vectors, those that they are multiplied
    with, and the scores."""
    rows = training.micro_batch * predictions(settings)
    candidates = rows * (1 + settings.negatives)
    return {"candidates": FLOAT32 * candidates * (settings.d_model + 1), "vectors": FLOAT32 * rows * settings.d_model}


def random_batch(settings: VectorSettings, training: TrainingSettings, vocab_size: int) -> Batch:
    """Random tokens in the shape of the run's own batches."""
    size = training.batch_size
    centres = torch.randint(vocab_size, (size,))
    contexts = torch.randint(vocab_size, (size, 2 * settings.window))
    noise = torch.randint(vocab_size, (size, predictions(settings), settings.negatives))
    return Batch((centres, contexts, noise), size * counted(settings))
