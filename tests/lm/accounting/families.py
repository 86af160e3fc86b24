"""A small model of every family that is trained by gradients, and what it is trained on."""

from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from stages.lm.models import registry
from stages.lm.models.bert.model import IGNORED
from stages.lm.models.settings import ModelSettings
from tests.lm.models.huggingface.variants import GATED, SIZES

WIDTH: dict[str, object] = {"d_model": 16}
DEEP: dict[str, object] = WIDTH | {"layers": 2, "context_length": 12}
FAMILIES: dict[str, dict[str, object]] = {
    "transformer": DEEP | {"heads": 4},
    "rnn": DEEP,
    "lstm": DEEP,
    "gru": DEEP,
    "rnn-seq2seq": WIDTH,
    "transformer-seq2seq": WIDTH | {"layers": 2, "heads": 2},
    "bert": DEEP | {"heads": 2, "mask_share": 0.25},
    "skipgram": WIDTH | {"window": 2, "negatives": 3},
    "cbow": WIDTH | {"window": 2, "negatives": 3},
    "huggingface": {"file": GATED, "context_length": 12, "config": SIZES},
}


def described(family: str, **changes: object) -> Any:
    """Its settings."""
    return TypeAdapter(ModelSettings).validate_python({"family": family, **FAMILIES[family], **changes})


def built(settings: Any, vocab_size: int) -> Any:
    """The model, its recurrent layers step by step: torch's counter does not know the kernels of whole sequences."""
    cls = registry._class_of(settings.family)
    stepwise = settings.family in ("rnn", "lstm", "gru", "rnn-seq2seq")
    return cls.from_settings(settings, vocab_size, is_fused=False) if stepwise else cls.from_settings(settings, vocab_size)


def example(family: str, rows: int = 2) -> tuple[Tensor, ...]:
    """What `total_loss` takes: sequences of 12 tokens, or pairs of 12 and 12, every fourth token of BERT's predicted."""
    ids = torch.zeros(rows, 13, dtype=torch.long)
    if family == "bert":
        targets = torch.full((rows, 12), IGNORED)
        targets[:, ::4] = 1
        return ids[:, 1:], targets
    if family.endswith("seq2seq"):
        return ids[:, 1:], torch.full((rows,), 12), ids, torch.full((rows,), 13)
    if family in ("skipgram", "cbow"):
        predictions = 4 if family == "skipgram" else 1
        return ids[:, 0], ids[:, :4], torch.zeros(rows, predictions, 3, dtype=torch.long)
    return (ids,)
