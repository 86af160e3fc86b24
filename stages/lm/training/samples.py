"""What a language model writes while it is trained: a look at its progress, on which nothing else depends."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import nn

from stages.lm.models.interface import LanguageModel
from stages.lm.tokenizers.files import read_tokenizer

LENGTH = 48


@torch.no_grad()
def sample(module: nn.Module, end_of_text: int, seed: int, length: int = LENGTH) -> list[int]:
    """Up to `length` ids from the beginning of a text to its end, drawn from the distribution of a language model.

    The same for a seed. Uses random numbers of its own; the model is in training mode afterwards.
    """
    model, generator = cast(LanguageModel, module), torch.Generator().manual_seed(seed)
    module.eval()
    device = next(module.parameters()).device
    state, ids = model.start(1), [end_of_text]
    while len(ids) <= length:
        log_probs = model.advance(state, torch.tensor([ids[-1:]], device=device))[0]  # (vocab)
        ids.append(int(torch.multinomial(log_probs.double().exp().cpu(), 1, generator=generator)))
        if ids[-1] == end_of_text:
            break
    module.train()
    return ids[1:]


def sampler(tokenizer_folder: Path, seed: int) -> Callable[[nn.Module, int], str]:
    """A function from a model and the number of its step to a text that it writes, in one line."""
    tokenizer = read_tokenizer(tokenizer_folder)
    return lambda module, step: repr(tokenizer.decode(sample(module, tokenizer.end_of_text, (seed << 20) + step)))
