"""Cross-entropy from its definition; `torch.nn.functional.cross_entropy` is its fast twin."""

import torch
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of -ln softmax(logits)[target] in nats: logits (..., vocab), targets (...).

    ln and exp are cancelled, and the largest logit is subtracted first, so that nothing overflows.
    """
    shifted = logits - logits.amax(dim=-1, keepdim=True)  # (..., vocab)
    log_total = torch.log(torch.exp(shifted).sum(dim=-1))  # (...)
    chosen = shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # (...)
    return (log_total - chosen).mean()
