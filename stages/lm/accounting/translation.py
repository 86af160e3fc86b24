"""What a translator costs: parameters and operations by component, for a source of n tokens and a target of m.

A product of (a, b) and (b, c) takes 2 a b c operations; biases, norms and activations are not counted.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import nn

from stages.lm.accounting.measured import saved_bytes
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TranslatorSettings
from stages.lm.tokens import PairArray
from stages.lm.training import machine
from stages.lm.training.batches import Batch
from stages.lm.training.optimizer import parameter_groups
from stages.lm.training.settings import TrainingSettings

FLOAT32 = 4


def parameters(settings: TranslatorSettings, vocab_size: int) -> dict[str, int]:
    """Parameters by component, exact."""
    d = settings.d_model
    if isinstance(settings, RnnSeq2SeqSettings):
        return {
            "embedding": vocab_size * d,
            "encoder": 2 * (6 * d * d + 3 * d) + d * d,  # a GRU each way, and the decoder's first state
            "attention": 3 * d * d + d,
            "decoder": 12 * d * d + 3 * d,
            "readout": 8 * d * d,
            "head": vocab_size * d,
        }
    layers, d_ff = settings.layers, settings.feed_forward_width
    attention, feed_forward, norm = 4 * d * d + 4 * d, 2 * d * d_ff + d_ff + d, 2 * d
    return {
        "embedding": vocab_size * d,  # the output layer too
        "encoder": layers * (attention + feed_forward + 2 * norm),
        "decoder": layers * (attention + feed_forward + 3 * norm),
        "cross_attention": layers * attention,
    }


def forward_flops(settings: TranslatorSettings, vocab_size: int, source: float, target: float) -> dict[str, float]:
    """Operations of a forward pass over a pair of so many tokens (the target's predictions), by component."""
    n, m, d = source, target, settings.d_model
    if isinstance(settings, RnnSeq2SeqSettings):
        return {
            "encoder": 24 * n * d * d + 2 * d * d,
            "attention": 4 * n * d * d + m * (2 * d * d + 6 * n * d),
            "decoder": 24 * m * d * d,
            "readout": 16 * m * d * d,
            "head": 2 * m * d * vocab_size,
        }
    layers, d_ff = settings.layers, settings.feed_forward_width
    return {
        "encoder": layers * n * (8 * d * d + 4 * n * d + 4 * d * d_ff),
        "decoder": layers * m * (8 * d * d + 4 * m * d + 4 * d * d_ff),
        "cross_attention": layers * (4 * m * d * d + 4 * n * d * d + 4 * m * n * d),
        "head": 2 * m * d * vocab_size,
    }


def largest_matrix(settings: TranslatorSettings) -> tuple[int, int]:
    """The shape of the largest matrix inside the model."""
    d = settings.d_model
    return (3 * d, 3 * d) if isinstance(settings, RnnSeq2SeqSettings) else (d, settings.feed_forward_width)


def forward_flops_per_token(settings: TranslatorSettings, vocab_size: int, lengths: "Lengths") -> dict[str, int]:
    """The same for each token of the target, for pairs of mean length."""
    flops = forward_flops(settings, vocab_size, *lengths)
    return {name: round(value / lengths.target) for name, value in flops.items()}


class Lengths(NamedTuple):
    """The mean number of tokens of the sentences of a split, the one that ends them included."""

    source: float
    target: float

    @classmethod
    def of(cls, pairs: PairArray) -> "Lengths":
        return cls(len(pairs.source.ids) / max(1, len(pairs)), len(pairs.target.ids) / max(1, len(pairs)))

    def batch(self, size: int, vocab_size: int) -> Batch:
        """Random pairs of these lengths, rounded."""
        source, target = max(1, round(self.source)), max(1, round(self.target))
        ids = torch.randint(vocab_size, (size, source)), torch.randint(vocab_size, (size, target + 1))
        lengths = torch.full((size,), source), torch.full((size,), target + 1)
        return Batch((ids[0], lengths[0], ids[1], lengths[1]), size * target)


def training_memory(model: nn.Module, lengths: Lengths, training: TrainingSettings, vocab_size: int) -> dict[str, int]:
    """Bytes by component, of batches of sentences of mean length.

    Activations are what autograd keeps of one forward pass, measured; logits their gradient and that of their log-probabilities.
    """
    batch = lengths.batch(training.micro_batch, vocab_size)
    device = torch.device("cpu")
    with machine.autocast(training, device):
        activations = saved_bytes(model.to(device), *batch.tensors)
    numbers = sum(parameter.numel() for parameter in model.parameters())
    one_moment = [group for group in parameter_groups(model, 0.0) if training.optimizer == "muon" and group.get("orthogonal")]
    spared = sum(cast(Any, parameter).numel() for group in one_moment for parameter in group["params"])
    return {
        "weights": FLOAT32 * numbers,
        "gradients": FLOAT32 * numbers,
        "optimizer": FLOAT32 * (2 * numbers - spared),
        "activations": activations,
        "logits": 2 * FLOAT32 * batch.predictions * vocab_size,
    }
