"""Filling in the blanks of a text: the most probable tokens in place of every [MASK]."""

from typing import Any

import torch

from stages.lm.bpe.interface import TextTokenizer
from stages.lm.errors import UserError
from stages.lm.inference.loading import Trained
from stages.lm.inference.settings import FillingSettings
from stages.lm.models.bert.model import BertLM, mask_id
from stages.lm.models.bert.settings import MASK
from stages.lm.tokenizers.words import holds_spaces


def fill(trained: Trained, texts: TextTokenizer, prompt: str, settings: FillingSettings) -> dict[str, Any]:
    """The candidates for each blank of a prompt, and the text with the first of them. Raises UserError where it does not fit."""
    model = trained.model
    assert isinstance(model, BertLM)
    ids = [trained.end_of_text, *blanked(texts, prompt, mask_id(model.vocab_size)), trained.end_of_text]
    if len(ids) > model.context_length:
        raise UserError(f"prompts: {prompt!r} has {len(ids)} tokens, but the model reads {model.context_length}; shorten it")
    places = [place for place, token in enumerate(ids) if token == mask_id(model.vocab_size)]
    rows = torch.tensor([ids] * len(places), device=trained.device)
    with torch.inference_mode():
        log_probs = model.log_probs_at(rows, torch.tensor(places, device=trained.device))  # (blanks, vocab)
    best = log_probs.exp().topk(min(settings.candidates, model.vocab_size), dim=-1)
    blanks = [
        [{"token": texts.decode([token]), "probability": share} for token, share in zip(*row, strict=True)]
        for row in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    for place, token in zip(places, best.indices[:, 0].tolist(), strict=True):
        ids[place] = token
    return {"prompt": prompt, "completion": texts.decode(ids[1:-1]), "tokens": len(places), "blanks": blanks}


def blanked(texts: TextTokenizer, prompt: str, mask: int) -> list[int]:
    """The ids of a prompt; where tokens hold the space before their word, so does the hidden one."""
    spaced = holds_spaces(texts)
    parts = prompt.split(MASK)
    ids: list[int] = []
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        ids += texts.encode(part.removesuffix(" ") if spaced and not last else part)
        ids += [] if last else [mask]
    return ids
