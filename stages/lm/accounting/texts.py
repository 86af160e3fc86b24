"""The operations of writing texts: of reading a prompt, and of each token after it."""

from collections import Counter, deque
from typing import Any, NamedTuple, cast

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from stages.lm.accounting.operations import Operation, Operations
from stages.lm.accounting.rehearsal import Watching
from stages.lm.inference.generation import Request, sample_generator, stream
from stages.lm.inference.loading import Trained
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.stopping import Stop
from stages.lm.models import registry
from stages.lm.models.interface import LanguageModel
from stages.lm.models.settings import ModelSettings

SURE = DecodingSettings(temperature=1e-3)
"""Weights that nobody has trained are sure of nothing, and all tokens would be sorted for `top_p`: at this temperature they draw
from few tokens, as a trained model does, and as a rehearsal takes it."""


class Writing(NamedTuple):
    """What texts cost that are written at once: reading their prompt and drawing a token, and every token after that."""

    begin: Counter[Operation]
    token: Counter[Operation]


def of_texts(
    settings: ModelSettings, vocab_size: int, texts: int, prompt: int, tokens: int, decoding: DecodingSettings
) -> Writing:
    """Rehearse it: a token costs what it does in the middle of the text, for what a cache holds grows evenly."""
    begin = _rehearse(settings, vocab_size, texts, prompt, 1, decoding)
    middle = prompt + tokens // 2
    one, two = (_rehearse(settings, vocab_size, texts, middle, count, decoding) for count in (1, 2))
    return Writing(begin, two - one)


def write(model: LanguageModel, texts: int, prompt: int, tokens: int, decoding: DecodingSettings, seen: bool = False) -> None:
    """Continue prompts of so many tokens; `seen` by a mode that watches operations, which torch's inference mode hides."""
    device = torch.device("cpu") if not isinstance(model, torch.nn.Module) else next(model.parameters()).device
    settings = decoding.model_copy(update={"max_tokens": tokens})
    requests = [Request([0] * (prompt - 1), sample_generator(settings.seed, 0, number)) for number in range(texts)]
    arguments = Trained(model, 0, device, ""), requests, settings, Stop()
    if seen:
        with torch.no_grad():
            deque(cast(Any, stream).__wrapped__(*arguments), maxlen=0)
    else:
        deque(stream(*arguments), maxlen=0)


def _rehearse(
    settings: ModelSettings, vocab_size: int, texts: int, prompt: int, tokens: int, decoding: DecodingSettings
) -> Counter[Operation]:
    watch = Operations()
    with FakeTensorMode(allow_non_fake_inputs=True):
        with Watching():  # type: ignore[no-untyped-call]
            model: Any = registry.build(settings, vocab_size, 0)
        with watch:
            write(model.eval(), texts, prompt, tokens, decoding, seen=True)
    return watch.counts
