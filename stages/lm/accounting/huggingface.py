"""What a variant costs, of which nothing is known but its code: it is built and run on tensors that have shapes, no numbers."""

import logging
from typing import Any, cast

import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from stages.lm.accounting.operations import Operations
from stages.lm.accounting.rehearsal import Watching
from stages.lm.models import registry
from stages.lm.models.huggingface.settings import HuggingFaceSettings

log = logging.getLogger("stagecraft")

UNREHEARSED = (DataDependentOutputException, DynamicOutputShapeException, NotImplementedError, RuntimeError)
"""What ends a run without numbers where the code asks for one."""

FLOAT32 = 4


def parameters(settings: HuggingFaceSettings, vocab_size: int) -> dict[str, int]:
    """By component, exact; an output layer tied to the embeddings counts as the head."""
    network = outline(settings, vocab_size)
    embedding, head = (_weights(module) for module in (network.get_input_embeddings(), network.get_output_embeddings()))
    everything = _weights(network)
    inside = everything.keys() - embedding.keys() - head.keys()
    parts = {"embedding": embedding.keys() - head.keys(), "inside": inside, "head": head.keys()}
    return {name: sum(everything[key] for key in keys) for name, keys in parts.items()}


def forward_flops_per_token(settings: HuggingFaceSettings, vocab_size: int, length: int) -> dict[str, int]:
    """Of the matrix products, as torch counts them in a forward pass over a window: for each of `length` predictions, when the
    model reads one token more, as it does in training.

    Where the model cannot be run without numbers, 2 for each parameter but the embeddings (Kaplan et al. 2020, section 2.1), so
    that training takes 6 N D.
    """
    counts = parameters(settings, vocab_size)
    share, watch = (length + 1) / length, Operations()
    head = round(2 * counts["head"] * share)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            with Watching():  # type: ignore[no-untyped-call]
                model: Any = registry.build(settings, vocab_size, 0)
            with watch, torch.no_grad():
                model(torch.zeros(1, length + 1, dtype=torch.long))
    except UNREHEARSED as error:
        log.warning("%s: its products cannot be counted (%s): 6 N D is taken for the FLOPs of training", settings.file, error)
        return {"inside": round(2 * counts["inside"] * share), "head": head}
    products = sum(operation.flops * calls for operation, calls in watch.counts.items())
    return {"inside": round(products / length) - head, "head": head}


def least_memory(settings: HuggingFaceSettings, vocab_size: int) -> dict[str, int]:
    """Bytes that training takes whatever the model computes, by component: weights, gradients, and AdamW's two means of these."""
    weights = FLOAT32 * sum(parameters(settings, vocab_size).values())
    return {"weights": weights, "gradients": weights, "optimizer": 2 * weights}


def largest_matrix(settings: HuggingFaceSettings, vocab_size: int) -> tuple[int, int]:
    """The shape of the largest matrix inside."""
    network = outline(settings, vocab_size)
    outside = _weights(network.get_output_embeddings()) | _weights(network.get_input_embeddings())
    inside = [parameter for parameter in network.parameters() if parameter.dim() == 2 and id(parameter) not in outside]
    largest = max(inside or [network.get_input_embeddings().weight], key=torch.Tensor.numel)
    return cast(tuple[int, int], tuple(largest.shape))


def outline(settings: HuggingFaceSettings, vocab_size: int) -> Any:
    """The user's model without numbers."""
    with torch.device("meta"):
        return cast(Any, registry.build(settings, vocab_size, 0)).network


def _weights(module: nn.Module | None) -> dict[int, int]:
    """The size of each parameter, by its identity."""
    return {id(parameter): parameter.numel() for parameter in module.parameters()} if module is not None else {}
