"""Real training steps and real texts of small models, with a clock at every operation: what a profile is fitted to."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from stages.lm.accounting.costs import Timed
from stages.lm.accounting.operations import operation
from stages.lm.accounting.rehearsal import Watching
from stages.lm.accounting.texts import SURE, write
from stages.lm.models import registry
from stages.lm.models.recurrent.settings import GruSettings, LstmSettings
from stages.lm.models.settings import TransformerSettings
from stages.lm.training.batches import Batch
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainingSettings

ROUNDS = 6


class Watched(NamedTuple):
    """Some work, with a clock at each operation and without."""

    calls: list[Timed]
    seconds: float
    """Of the work without clocks."""
    passes: int = 1
    """How often it goes through the model: once for each token of a text."""
    spread: float = 1.0
    """The median over the fastest of its repetitions."""


class Clock(Watching):  # type: ignore[no-untyped-call]
    """Times every operation."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.calls: list[Timed] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        began = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        wait(self.device)
        seconds = time.perf_counter() - began
        self.calls.append(Timed(operation(func, args, kwargs or {}, result), seconds))
        return result


def wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _transformer(layers: int, heads: int, d_model: int, context_length: int, **more: Any) -> TransformerSettings:
    return TransformerSettings(
        family="transformer", layers=layers, heads=heads, d_model=d_model, context_length=context_length, **more
    )  # fmt: skip


def _lstm(d_model: int, context_length: int) -> LstmSettings:
    return LstmSettings(family="lstm", layers=1, d_model=d_model, context_length=context_length)


def _gru(d_model: int, context_length: int) -> GruSettings:
    return GruSettings(family="gru", layers=1, d_model=d_model, context_length=context_length)


OLDER: dict[str, Any] = {"norm": "layer", "norm_position": "post", "feed_forward": "relu", "bias": True, "dropout": 0.1}
"""Older modules, for the operations that those of today have none of."""
TRAINED: list[tuple[Any, int, int, str]] = [
    (_transformer(2, 4, 128, 128), 1024, 8, "adamw"),
    (_transformer(1, 4, 224, 128), 1024, 16, "adamw"),
    (_transformer(2, 6, 384, 256), 4096, 8, "adamw"),
    (_transformer(1, 4, 128, 1024), 1024, 2, "adamw"),
    (_transformer(1, 6, 384, 768), 1024, 2, "adamw"),
    (_transformer(2, 2, 64, 64), 512, 4, "muon"),
    (_transformer(1, 4, 320, 64), 512, 8, "muon"),
    (_transformer(2, 4, 96, 64, **OLDER, position="sinusoidal"), 1024, 16, "adamw"),
    (_transformer(1, 4, 320, 128, **OLDER | {"feed_forward": "gelu"}, position="learned"), 2048, 8, "adamw"),
    (_lstm(384, 32), 1024, 32, "adamw"),
    (_lstm(192, 64), 2048, 16, "adamw"),
    (_lstm(64, 32), 512, 4, "adamw"),
    (_gru(96, 32), 1024, 16, "adamw"),
    (_gru(384, 16), 1024, 32, "adamw"),
]
"""Models, their vocabularies, sequences in a batch, optimizers."""

WRITTEN: list[tuple[Any, int, int]] = [
    (_transformer(2, 4, 128, 128), 1024, 1),
    (_transformer(2, 4, 128, 128), 1024, 16),
    (_transformer(2, 8, 512, 256), 8192, 1),
    (_transformer(2, 8, 512, 256), 8192, 16),
    (_transformer(4, 8, 640, 256), 4096, 1),
    (_lstm(128, 64), 1024, 1),
    (_lstm(640, 64), 4096, 1),
    (_lstm(384, 64), 8192, 16),
    (_lstm(192, 64), 2048, 16),
    (_gru(384, 64), 1024, 1),
    (_gru(128, 64), 8192, 16),
    (_gru(448, 64), 2048, 16),
]
"""Models, their vocabularies, texts at once."""
PROMPT, TOKENS = 16, 8


Work = tuple[Callable[[], object], Callable[[], object]]
"""The same work twice: as it is done, and so that a clock sees its operations."""


def trained(settings: TrainingSettings, device: torch.device) -> list[Watched]:
    """Steps of the small models, with the arithmetic of these settings."""
    works: list[Work] = []
    for model, vocab_size, batch_size, optimizer in TRAINED:
        plain = {"batch_size": batch_size, "micro_batch_size": None, "optimizer": optimizer, "clip_norm": 1e9}
        training = settings.model_copy(update=plain | {"activation_checkpointing": False, "compile": False})
        learner = Learner(cast(nn.Module, registry.build(model, vocab_size, 0)), training, device)
        ids = torch.randint(vocab_size, (batch_size, model.context_length + 1))
        batch = Batch((ids,), batch_size * model.context_length, fresh=model.learns_from == "streams")
        learner.step(batch, 1e-3)  # makes the optimizer's state
        step = partial(learner.step, batch, 1e-3)
        works.append((step, step))
    return watched(works, device)


def written(device: torch.device) -> list[Watched]:
    """Texts of the small models."""
    works: list[Work] = []
    for settings, vocab_size, texts in WRITTEN:
        model: Any = registry.build(settings, vocab_size, 0)
        text = partial(write, model.to(device).eval(), texts, PROMPT, TOKENS, SURE)
        works.append((text, partial(text, seen=True)))
    return watched(works, device, TOKENS)


def watched(works: list[Work], device: torch.device, passes: int = 1) -> list[Watched]:
    """Each work, and the calls of it with clocks, in the fastest of some rounds over all works: others may use the machine."""
    calls: list[list[list[Timed]]] = [[] for _ in works]
    seconds: list[list[float]] = [[] for _ in works]
    for plain, _ in works:
        plain()  # the first call does not count
    for _ in range(ROUNDS):
        for number, (plain, seen) in enumerate(works):
            began = time.perf_counter()
            plain()
            wait(device)
            seconds[number].append(time.perf_counter() - began)
            with Clock(device) as clock:
                seen()
            calls[number].append(clock.calls)
    fastest = [min(rounds, key=lambda seen: sum(call.seconds for call in seen)) for rounds in calls]
    return [
        Watched(found, min(times), passes, statistics.median(times) / min(times))
        for found, times in zip(fastest, seconds, strict=True)
    ]
