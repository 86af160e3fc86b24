"""Autoregressive generation: prefill the context once, then decode one token at a time.

A text always begins at a document boundary: the model first reads the end-of-text token and then the prompt, as it did in
training. A prompt longer than the context keeps its last `context_length` tokens. When a text grows past the context, the
model starts anew from the last half of a context, so that every token is predicted from at least that much.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import torch

from stages.lm.inference.loading import Trained
from stages.lm.inference.sampling import sample
from stages.lm.inference.settings import DecodingSettings
from stages.lm.models.interface import LanguageModel


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt, without the end-of-text token, and why it stopped."""

    tokens: list[int]
    stop_reason: Literal["end of text", "max tokens"]


@dataclass
class Context:
    """The model's state for a batch of rows, and how many tokens of each it has read."""

    state: Any
    length: int


def sample_generator(seed: int, prompt: int, number: int) -> torch.Generator:
    """The random numbers of one sample: a stream of its own, whatever else is generated beside it."""
    key = hashlib.sha256(f"{seed}:{prompt}:{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))


def prefill(model: LanguageModel, ids: torch.Tensor) -> tuple[Context, torch.Tensor]:
    """Read a batch of rows from the beginning: ids (batch, length) -> log-probabilities of the next token (batch, vocab)."""
    state = model.start(len(ids))
    return Context(state, ids.shape[1]), model.advance(state, ids)


def decode_one_token(model: LanguageModel, context: Context, ids: torch.Tensor) -> tuple[Context, torch.Tensor]:
    """Read the last token of `ids` (batch, length), everything before it having been read: -> (batch, vocab)."""
    if context.length == model.context_length:
        return prefill(model, ids[:, -max(1, context.length // 2) :])
    return Context(context.state, context.length + 1), model.advance(context.state, ids[:, -1:])


@torch.inference_mode()
def generate(
    trained: Trained, prompt: list[int], settings: DecodingSettings, generators: list[torch.Generator]
) -> list[Completion]:
    """Continue `prompt` (ids, may be empty) once for each of `generators`, until end of text or `max_tokens`."""
    model, end_of_text = trained.model, trained.end_of_text
    ids = torch.tensor([end_of_text, *prompt], device=trained.device).repeat(len(generators), 1)  # (batch, length)
    finished = torch.zeros(len(generators), dtype=torch.bool)
    begin = ids.shape[1]
    context, scores = prefill(model, ids[:, -model.context_length :] if model.context_length else ids)
    while True:
        recent = ids[:, max(1, ids.shape[1] - settings.repetition_window) :]  # (batch, window), the boundary is no text
        token = sample(scores.cpu(), recent.cpu(), settings, generators)  # (batch,)
        ids = torch.cat([ids, token[:, None].to(ids.device)], dim=1)
        finished |= token == end_of_text
        if finished.all() or ids.shape[1] - begin == settings.max_tokens:
            return [_completion(row[begin:].tolist(), end_of_text) for row in ids]
        context, scores = decode_one_token(model, context, ids)  # scores (batch, vocab)


def _completion(tokens: list[int], end_of_text: int) -> Completion:
    if end_of_text in tokens:
        return Completion(tokens[: tokens.index(end_of_text)], "end of text")
    return Completion(tokens, "max tokens")
