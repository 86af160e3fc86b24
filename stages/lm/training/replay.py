"""A step of a past run again: which texts it learned from, the loss of each token, and the gradient, layer by layer.

Nothing of this was stored: the batch is a function of seed and step, and the weights come from the nearest checkpoint before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lm.errors import UserError
from stages.lm.models.head_loss import HeadLoss
from stages.lm.training import watch
from stages.lm.training.batches import Batch
from stages.lm.training.clipping import gradient_norm, gradients_of
from stages.lm.training.learner import Learner
from stages.lm.training.loop import Run


@dataclass
class Example:
    """One example of the step's batch."""

    number: int
    documents: list[int]
    """The documents of the train split that it is of, or the pair; none where the data does not tell."""
    tokens: list[int]
    """Its ids, the one before the first prediction included."""
    losses: list[float] | None
    """Of each of its tokens but the first, in nats; None but for language models."""


@dataclass
class Replay:
    """What there is to see of a step."""

    step: int
    loss: float
    """In nats per token, before the step."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    norms: dict[str, dict[str, float]]
    """Root mean squares of activations, weights and gradients by layer, before the step."""
    examples: list[Example]


def replay_step(run: Run, step: int, train: Any) -> Replay:
    """Step 1, 2, ... of a run whose train split is `train`. Raises UserError where the run has no such step."""
    if not 1 <= step <= run.settings.steps:
        raise UserError(f"--step: {step} is not one of the steps 1 to {run.settings.steps} of this run")
    run.go_to(step - 1)
    batch = run.data.batch(step - 1)
    run.seed(step)
    loss, losses = token_losses(run.learner, batch)
    norm = gradient_norm(gradients_of(run.learner.model.parameters())).item()
    run.seed(step)
    norms = watch.norms(run.learner, batch)
    rows = batch.tensors[0].tolist()
    documents = documents_of(run.data, step - 1, len(rows[0]), train)
    by_token = losses.tolist() if losses is not None and hasattr(run.data, "starts") else [None] * len(rows)
    examples = [Example(number, *shown) for number, shown in enumerate(zip(documents, rows, by_token, strict=True))]
    return Replay(step, loss, norm, run.settings.learning_rate_at(step), norms, examples)


def documents_of(data: Any, step: int, length: int, train: Any) -> list[list[int]]:
    """For every example of a batch the documents of the train split that it is of: those that its window of the stream touches,
    or the one pair that it is; none where the data does not tell."""
    if hasattr(data, "starts"):
        starts = data.starts(step)
        first, last = (np.searchsorted(train.offsets, places, side="right") - 1 for places in (starts, starts + length - 1))
        return [list(range(one, other + 1)) for one, other in zip(first.tolist(), last.tolist(), strict=True)]
    if hasattr(data, "indices"):
        return [[index] for index in data.indices(step).tolist()]
    return [[]] * len(data.batch(step).tensors[0])


def token_losses(learner: Learner, batch: Batch) -> tuple[float, Tensor | None]:
    """The loss of a batch, its gradient left in `.grad`, and -ln p of every prediction: (batch, length).

    The latter for language models, from what enters their output layer; None for other families.
    """
    parts: list[Tensor] = []

    def keep(_: nn.Module, entering: tuple[Tensor, ...]) -> None:
        features, weight, targets = (tensor.detach() for tensor in entering)
        logits = (features @ weight.T).float()  # (examples, length, vocab)
        parts.append(F.cross_entropy(logits.transpose(1, 2), targets, reduction="none"))

    hooks = [module.register_forward_pre_hook(keep) for module in learner.model.modules() if isinstance(module, HeadLoss)]
    loss = learner.gradient(batch).item()
    for hook in hooks:
        hook.remove()
    return loss, torch.cat(parts) if parts else None


def table(shown: Replay, texts: Sequence[str], count: int) -> str:
    """A replay for a person: its numbers, the norms by layer, and the `count` examples of the highest loss, token by token.

    texts: how each id looks; empty where that is not known.
    """
    lines = [
        f"step {shown.step}: loss {shown.loss:.4f} nats/token, gradient norm {shown.gradient_norm:.4g}, "
        f"learning rate {shown.learning_rate:.3e}",
        "",
        f"{'root mean square of':24} {'activations':>12} {'weights':>12} {'gradients':>12}",
    ]
    for layer in shown.norms["weights"]:
        numbers = (shown.norms[kind].get(layer, float("nan")) for kind in ("activations", "weights", "gradients"))
        lines.append(f"{layer:24} " + " ".join(f"{number:12.4g}" for number in numbers))
    for example in sorted(shown.examples, key=lambda example: -sum(example.losses or [0]))[:count]:
        mean = f", {sum(example.losses) / len(example.losses):.4f} nats/token" if example.losses else ""
        lines += ["", f"example {example.number}{_documents(example)}{mean}", _tokens(example, texts)]
    return "\n".join(lines)


def _documents(example: Example) -> str:
    if not example.documents:
        return ""
    first, last = example.documents[0], example.documents[-1]
    return f", document {first}" if first == last else f", documents {first} to {last}"


def _tokens(example: Example, texts: Sequence[str]) -> str:
    """The tokens of an example, and behind each what it cost."""
    words = [texts[token] if texts else str(token) for token in example.tokens]
    costs = ["", *(f"({loss:.2f})" for loss in example.losses or [])]
    return " ".join(f"{word}{cost}" for word, cost in zip_longest(words, costs, fillvalue=""))
