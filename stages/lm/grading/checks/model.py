"""Project 1.2: a block, the whole model, and its registered state (R27, R36, R37, R42, R43)."""

import random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.grading.checks.attention import LENGTH, THETA, projections, rows_in_halves
from stages.lm.grading.checks.check import Adapters, Check, Given, integers, normal


def weights_in_halves(given: Given) -> list[Given]:
    """The same for the weights of blocks."""
    turned = ("attn.q_proj.weight", "attn.k_proj.weight")
    weights = {
        name: rows_in_halves(weight, given["num_heads"]) if name.endswith(turned) else weight
        for name, weight in given["weights"].items()
    }
    return [{**given, "weights": weights}]


def block_weights(rng: random.Random, d_model: int, d_ff: int, prefix: str = "") -> dict[str, Tensor]:
    weights = {f"attn.{name}.weight": weight for name, weight in projections(rng, d_model).items()}
    weights |= {f"ln{place}.weight": 1 + 0.3 * normal(rng, d_model) for place in (1, 2)}
    shapes = {"w1": (d_ff, d_model), "w2": (d_model, d_ff), "w3": (d_ff, d_model)}
    weights |= {f"ffn.{name}.weight": normal(rng, *shape) / shape[1] ** 0.5 for name, shape in shapes.items()}
    return {f"{prefix}{name}": weight for name, weight in weights.items()}


def block_cases(rng: random.Random) -> dict[str, Given]:
    return {"two heads": {"weights": block_weights(rng, 16, 24), "num_heads": 2, "x": normal(rng, 2, 6, 16)}}


def block(adapters: Adapters, given: Given) -> Any:
    return adapters.transformer_block(given["x"], dict(given["weights"]), given["num_heads"], THETA, LENGTH)


def model_given(rng: random.Random, layers: int, d_model: int, d_ff: int, vocab: int, heads: int, *shape: int) -> Given:
    weights = {"token_embeddings.weight": normal(rng, vocab, d_model)}
    for layer in range(layers):
        weights |= block_weights(rng, d_model, d_ff, f"layers.{layer}.")
    weights |= {"ln_final.weight": 1 + 0.3 * normal(rng, d_model), "lm_head.weight": normal(rng, vocab, d_model) / d_model**0.5}
    return {"weights": weights, "num_layers": layers, "num_heads": heads, "token_ids": integers(rng, vocab, *shape)}


def model_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "three layers": model_given(rng, 3, 16, 24, 29, 2, 2, 12),
        "as long as the context": model_given(rng, 1, 8, 16, 13, 2, 1, LENGTH),
    }


def speed_cases(rng: random.Random) -> dict[str, Given]:
    return {"four layers of 128 over 8 x 64 tokens": model_given(rng, 4, 128, 344, 500, 4, 8, LENGTH)}


def model(adapters: Adapters, given: Given) -> Any:
    with torch.no_grad():
        weights, heads = dict(given["weights"]), given["num_heads"]
        return adapters.transformer_lm(given["token_ids"], weights, given["num_layers"], heads, THETA, LENGTH)


def build_cases(_rng: random.Random) -> dict[str, Given]:
    return {"two layers of 32": {"settings": [50, 16, 32, 2, 4, 64, THETA], "seed": 1}}


def build(adapters: Adapters, given: Given) -> torch.nn.Module:
    torch.manual_seed(given["seed"])
    built: torch.nn.Module = adapters.build_transformer_lm(*given["settings"])
    return built


def registered(adapters: Adapters, given: Given) -> Any:
    """What an optimizer is given, what a checkpoint holds, and what a gradient reaches."""
    built, ids = build(adapters, given), torch.arange(12)[None]
    logits = built(ids)
    F.cross_entropy(logits[0], ids[0]).backward()  # type: ignore[no-untyped-call]
    trained = [parameter for parameter in built.parameters() if parameter.requires_grad]
    again = build(adapters, {**given, "seed": 2})
    again.load_state_dict(built.state_dict())
    return {
        "numbers in model.parameters()": sum(parameter.numel() for parameter in trained),
        "numbers in model.state_dict()": sum(tensor.numel() for tensor in built.state_dict().values()),
        "parameters that a gradient does not reach": sum(parameter.grad is None for parameter in trained),
        "the logits are the same after state_dict and load_state_dict": torch.equal(logits, again(ids)),
    }


def initial(adapters: Adapters, given: Given) -> Any:
    """All matrices but those of tokens, and all vectors."""
    vocab_size = given["settings"][0]
    parameters = [parameter.detach() for parameter in build(adapters, given).parameters()]
    return [parameter for parameter in parameters if parameter.shape[0] != vocab_size]


def spread(answer: Any, _given: Given) -> Any:
    """Whether standard deviations are near sqrt(2 / (in + out)), nothing lies beyond three of them, and norms begin at 1."""
    matrices = [tensor for tensor in answer if tensor.dim() == 2]
    sigmas = [(2 / sum(tensor.shape)) ** 0.5 for tensor in matrices]
    near = [0.9 < tensor.std() / sigma < 1.08 for tensor, sigma in zip(matrices, sigmas, strict=True)]
    cut = [tensor.abs().max() <= 3.001 * sigma for tensor, sigma in zip(matrices, sigmas, strict=True)]
    return {
        "matrices have the standard deviation sqrt(2 / (in + out))": bool(matrices) and all(near),
        "matrices are cut at three of them": all(cut),
        "norms begin at 1": all(bool((tensor == 1).all()) for tensor in answer if tensor.dim() == 1),
    }


CHECKS = {
    "block": Check(block_cases, block, also=weights_in_halves),
    "model": Check(model_cases, model, also=weights_in_halves),
    "model.registered": Check(build_cases, registered),
    "model.initialisation": Check(build_cases, initial, spread),
    "model.speed": Check(speed_cases, model, also=weights_in_halves),
}
