"""Whether a variant is what it should be, asked before it is trained: mistakes look like a very good model, or like a bad one.

Asked of a copy whose weights are all made random, so that what begins as zero counts too.
"""

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.lm.errors import UserError

LENGTH = 8
"""Tokens of the texts that it is asked with."""
NEAR = 1e-3
"""By how much logits may differ, relative to the largest one."""


@torch.no_grad()
def check(model: Any, where: str) -> None:
    """Raises UserError, which says what is wrong with the file `where`."""
    probe = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in probe.parameters():
        parameter += 0.1 * torch.randn(parameter.shape, generator=generator).to(parameter)
    device, length = next(probe.parameters()).device, min(LENGTH, probe.context_length)
    ids = torch.randint(probe.vocab_size, (2, length + 1), generator=generator).to(device)
    with exact_products():
        fault = _fault(probe, ids)
    if fault is not None:
        raise UserError(f"{where}: {fault}")


@contextmanager
def exact_products() -> Iterator[None]:
    """Training rounds them to bf16 where its settings let it, by other bits for a text and for a token."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _fault(model: Any, ids: Tensor) -> str | None:
    """What is wrong; ids: (2, length + 1)."""
    read, logits = ids[:, :-1], model(ids[:, :-1])
    if logits.shape != (*read.shape, model.vocab_size):
        return f"its logits are {tuple(logits.shape)} for ids {tuple(read.shape)} and vocab_size {model.vocab_size}"
    other = read.clone()
    other[:, -1] = (other[:, -1] + 1) % model.vocab_size
    if not _near(model(other)[:, :-1], logits[:, :-1]):
        return "it sees the future: what it says of a token changes with the tokens after it; mend the mask of its attention"
    loss, expected = model.total_loss(ids), -model.token_log_probs(ids).sum()
    if not _near(loss, expected):
        return (
            f"its loss for labels is {loss / ids[:, 1:].numel():.4f}, and the mean of -ln p(labels[:, t + 1]) by its logits at t "
            f"is {expected / ids[:, 1:].numel():.4f}; shift the labels by one, and add to the loss only if self.training"
        )
    state = model.start(len(read))
    cached = torch.stack([model.advance(state, column) for column in torch.split(read, 1, dim=1)], dim=1)  # (2, length, vocab)
    if not _near(cached, torch.log_softmax(logits, dim=-1)):
        return (
            "token by token with past_key_values it says something else than of the whole text; positions go on after "
            "past_key_values.get_seq_length(), and each layer updates the cache under its own number"
        )
    if not _near(_saved_and_loaded(model)(read), logits):
        return (
            "saved and loaded again it computes something else; what is not saved, as buffers with persistent=False, is to be "
            "computed in forward, or set in _init_weights"
        )
    return None


def _saved_and_loaded(model: Any) -> Any:
    """By transformers itself, as it will be after training."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        network = type(model.network).from_pretrained(folder, dtype=torch.float32).to(next(model.parameters()).device).eval()
    return type(model)(network, model.context_length)


def _near(found: Tensor, expected: Tensor) -> bool:
    return bool(torch.allclose(found, expected, rtol=0, atol=NEAR * float(expected.abs().max().clamp(min=1.0))))
