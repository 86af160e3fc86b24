"""The gradient problem, measured: how the gradient of a loss shrinks or grows on its way back through a recurrent layer.

For h_t = tanh(W_x x_t + W_h h_{t-1} + b) the chain rule gives dh_t / dh_{t-k} as a product of k factors diag(1 - h_j^2) W_h, so

    |d loss_t / d h_{t-k}|  <=  (sigma_max(W_h) gamma)^k |d loss_t / d h_t|,        gamma = max 1 - h_j^2 <= 1

(Hochreiter 1991; Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013, section 2). Where the base is below 1 the
gradient must vanish, above 1 it may explode. The states of LSTM and GRU are sums, and a gate decides how much of them is kept.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.recurrent.language_model import Carry, RecurrentLM
from stages.lm.models.recurrent.layer import RecurrentLayer
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.settings import ModelSettings
from stages.lm.progress import progress
from stages.lm.studies.settings import GradientStudy, Initialisation
from stages.lm.tokens import TokenArray
from stages.lm.training.clipping import clip_gradients

Norms = NDArray[np.float64]


def measure(study: GradientStudy, models: Mapping[str, ModelSettings], tokens: TokenArray, vocab_size: int) -> dict[str, Any]:
    """Every model with every initialisation, before and after training, and training with and without clipping."""
    torch.set_num_threads(study.threads)
    runs = []
    with progress("study", len(models) * len(study.initialisations), " runs") as bar:
        for name, settings in models.items():
            if not isinstance(settings, RecurrentSettings):
                raise UserError(f"models.{name}: is of family {settings.family}; this study is about rnn, lstm and gru")
            for start in study.initialisations:
                runs.append({"model": name, "family": settings.family, **_run(study, settings, start, tokens, vocab_size)})
                bar.update(1)
    about = study.model_dump(include={"kind", "distance", "learning_rate", "clip_norm"})
    return about | {"runs": runs}


def _run(
    study: GradientStudy, settings: RecurrentSettings, start: Initialisation, tokens: TokenArray, vocab_size: int
) -> dict[str, Any]:
    described = settings.model_copy(update={"layers": 1, **start.model_dump()})

    def fresh() -> RecurrentLM:
        return cast(RecurrentLM, registry.build(cast(ModelSettings, described), vocab_size, study.seed))

    examples = _sequences(study, tokens, step=0)
    model, free = fresh(), fresh()
    result: dict[str, Any] = {**start.model_dump(), "at_start": describe(model, examples)}
    result["clipped"] = train(model, study, tokens, study.clip_norm)
    result["unclipped"] = train(free, study, tokens, math.inf)
    result["trained"] = describe(model, examples)
    return result


def describe(model: RecurrentLM, ids: Tensor) -> dict[str, Any]:
    """The median over sequences of the gradient's norm by distance; for an RNN the factors of the bound, and the bound.

    Computed in double precision, whose smallest numbers are small enough for what is left of a gradient.
    """
    model = copy.deepcopy(model).double()
    norms, states = gradient_norms(model, ids)
    found: dict[str, Any] = {"norms": np.median(norms, axis=0).tolist()}
    layer = cast(RecurrentLayer, model.layers[0])
    if layer.gates == 1:
        sigma = torch.linalg.svdvals(layer.w_h.weight)[0].item()
        slope = max((1 - state[0].square()).max().item() for state in states[1:])
        bound = found["norms"][0] * (sigma * slope) ** np.arange(norms.shape[1])
        found |= {"sigma_max": sigma, "slope_max": slope, "bound": bound.tolist()}
    return found


def gradient_norms(model: RecurrentLM, ids: Tensor) -> tuple[Norms, list[Carry]]:
    """|d loss / d state k steps before it|, for k = 0 ... T: (batch, T + 1), where the loss is that of the last of T + 1 ids.

    The state is all that a step hands to the next: h of all layers, and for an LSTM c too. Also returns the T + 1 states.
    """
    states = [model.carry(len(ids))]
    with torch.no_grad():
        for t in range(ids.shape[1] - 1):
            states.append(model.features(ids[:, t : t + 1], states[-1])[1])
    last = _leaves(states[-1])
    loss = F.cross_entropy(model.lm_head(last[0][:, -1]), ids[:, -1], reduction="sum")
    gradient = torch.autograd.grad(loss, last, materialize_grads=True)
    norms = [_norm(gradient)]
    for t in reversed(range(ids.shape[1] - 1)):
        before = _leaves(states[t])
        _, after = model.features(ids[:, t : t + 1], before)
        gradient = torch.autograd.grad(after, before, gradient)
        norms.append(_norm(gradient))
    return torch.stack(norms, dim=1).cpu().numpy(), states


def train(model: RecurrentLM, study: GradientStudy, tokens: TokenArray, clip_norm: float) -> dict[str, list[float | None]]:
    """Plain gradient descent: the loss in nats per token and the gradient's norm before clipping, by step; None if not finite.

    Training ends with the first step whose gradient is no number.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=study.learning_rate)
    losses: list[float | None] = []
    norms: list[float | None] = []
    for step in range(study.steps):
        ids = _sequences(study, tokens, step + 1)
        optimizer.zero_grad()
        loss = model.total_loss(ids) / ids[:, 1:].numel()
        loss.backward()
        norm = clip_gradients(model.parameters(), clip_norm).item()
        losses.append(loss.item() if math.isfinite(loss.item()) else None)
        norms.append(norm if math.isfinite(norm) else None)
        if norms[-1] is None:
            break
        optimizer.step()
    return {"loss": losses, "norm": norms}


def _sequences(study: GradientStudy, tokens: TokenArray, step: int) -> Tensor:
    """Sequences from random places of the text, (sequences, distance + 1). Raises UserError where it is too short."""
    places = len(tokens.ids) - study.distance
    if places < 1:
        raise UserError(f"measure.distance is {study.distance}, but the train split has only {len(tokens.ids)} tokens; lower it")
    starts = np.random.default_rng((study.seed, step)).integers(places, size=study.sequences)
    return torch.from_numpy(np.stack([tokens.ids[start : start + study.distance + 1] for start in starts]).astype(np.int64))


def _leaves(carry: Carry) -> Carry:
    return tuple(memory.detach().requires_grad_() for memory in carry)


def _norm(gradient: tuple[Tensor, ...]) -> Tensor:
    """The length of the gradient of each sequence, over all parts of its state: (batch,)."""
    return torch.cat([part.flatten(1) for part in gradient], dim=1).square().sum(dim=1).sqrt()
