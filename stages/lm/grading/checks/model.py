"""Project 1.2, the model: its parts one by one, and the whole with its registered state (R27 to R30, R36 to R43)."""

import random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.grading.checks.check import Adapters, Check, Given, integers, normal

THETA, LENGTH = 10000.0, 64
"""Of rotary embeddings: the base, and how many positions there may be."""


# Layers


def linear_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "a batch of sequences": {"weight": normal(rng, 5, 8), "x": normal(rng, 2, 3, 8)},
        "a single vector": {"weight": normal(rng, 4, 6), "x": normal(rng, 6)},
    }


def linear(adapters: Adapters, given: Given) -> Any:
    return adapters.linear(given["weight"], given["x"])


def embedding_cases(rng: random.Random) -> dict[str, Given]:
    return {"a batch of sequences": {"weight": normal(rng, 11, 8), "token_ids": integers(rng, 11, 2, 5)}}


def embedding(adapters: Adapters, given: Given) -> Any:
    return adapters.embedding(given["weight"], given["token_ids"])


def silu_cases(rng: random.Random) -> dict[str, Given]:
    return {"hidden numbers": {"x": normal(rng, 3, 7)}, "large numbers": {"x": torch.tensor([-90.0, -20.0, 0.0, 90.0])}}


def silu(adapters: Adapters, given: Given) -> Any:
    return adapters.silu(given["x"])


def softmax_cases(rng: random.Random) -> dict[str, Given]:
    x = normal(rng, 3, 4, 5)
    return {
        "the last dimension": {"x": x, "dim": -1},
        "another dimension": {"x": x, "dim": 1},
        "large numbers": {"x": x * 1000 + 5000, "dim": -1},
    }


def softmax(adapters: Adapters, given: Given) -> Any:
    return adapters.softmax(given["x"], given["dim"])


def rmsnorm_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "hidden numbers": {"weight": normal(rng, 8), "x": normal(rng, 2, 3, 8), "eps": 1e-5},
        "numbers so small that eps counts": {"weight": normal(rng, 8), "x": normal(rng, 3, 8) * 1e-3, "eps": 1e-5},
    }


def precision_cases(rng: random.Random) -> dict[str, Given]:
    wide = normal(rng, 4, 64) * 300
    return {
        "float16, whose squares overflow": {"weight": normal(rng, 64), "x": wide.half(), "eps": 1e-5},
        "bfloat16, whose weights would be rounded": {"weight": normal(rng, 64), "x": wide.bfloat16(), "eps": 1e-5},
    }


def rmsnorm(adapters: Adapters, given: Given) -> Any:
    return adapters.rmsnorm(given["weight"], given["x"], given["eps"])


def swiglu_cases(rng: random.Random) -> dict[str, Given]:
    weights = {"w1": normal(rng, 12, 8), "w2": normal(rng, 8, 12), "w3": normal(rng, 12, 8)}
    return {"a batch of sequences": {**weights, "x": normal(rng, 2, 3, 8)}}


def swiglu(adapters: Adapters, given: Given) -> Any:
    return adapters.swiglu(given["w1"], given["w2"], given["w3"], given["x"])


# Positions and attention


def rope_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "a batch of sequences": {"x": normal(rng, 2, 6, 8), "token_positions": torch.arange(6), "theta": THETA},
        "another base": {"x": normal(rng, 5, 16), "token_positions": torch.arange(5), "theta": 500.0},
    }


def positions_cases(rng: random.Random) -> dict[str, Given]:
    x = normal(rng, 2, 3, 4, 8)  # (batch, heads, sequence, d_k)
    late = torch.arange(40, 44)
    return {
        "far positions, as with a cache": {"x": x, "token_positions": late, "theta": THETA},
        "one row of positions for all": {"x": x[:, 0], "token_positions": late[None], "theta": THETA},
        "other positions for each sequence": {"x": x[:, 0], "token_positions": integers(rng, LENGTH, 2, 4), "theta": THETA},
    }


def rope(adapters: Adapters, given: Given) -> Any:
    return adapters.rope(given["x"], given["token_positions"], given["theta"], LENGTH)


def layout_apart(given: Given) -> list[Given]:
    """Halves instead of neighbours are the business of `rope`: there the layout costs its points, and nowhere else."""
    order = halves(given["x"].shape[-1])
    return [{**given, "x": given["x"][..., order], "order": order}]


def rope_in_any_layout(adapters: Adapters, given: Given) -> Any:
    turned = rope(adapters, given)
    return turned if "order" not in given else turned[..., given["order"].argsort()]


def halves(d: int) -> Tensor:
    """The places (0, d/2, 1, d/2 + 1, ...): pairs of halves become neighbours."""
    return torch.arange(d).reshape(2, d // 2).T.flatten()


def attention_cases(rng: random.Random) -> dict[str, Given]:
    query, key, value = normal(rng, 2, 3, 4, 8), normal(rng, 2, 3, 6, 8), normal(rng, 2, 3, 6, 5)
    mask = integers(rng, 2, 4, 6).bool()
    mask[:, 0] = True
    plain = {"query": query, "key": key, "value": value}
    return {
        "without a mask": {**plain, "mask": None},
        "with a mask, True where a query may attend": {**plain, "mask": mask},
        "three dimensions": {"query": query[0], "key": key[0], "value": value[0], "mask": mask},
    }


def attention(adapters: Adapters, given: Given) -> Any:
    return adapters.scaled_dot_product_attention(given["query"], given["key"], given["value"], given["mask"])


def projections(rng: random.Random, d_model: int) -> dict[str, Tensor]:
    return {f"{name}_proj": normal(rng, d_model, d_model) / d_model**0.5 for name in ("q", "k", "v", "output")}


def multi_head_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "four heads": {**projections(rng, 16), "num_heads": 4, "x": normal(rng, 2, 7, 16), "positions": None},
        "one head": {**projections(rng, 8), "num_heads": 1, "x": normal(rng, 2, 3, 8), "positions": None},
    }


def multi_head_rope_cases(rng: random.Random) -> dict[str, Given]:
    given = {**projections(rng, 16), "num_heads": 2, "x": normal(rng, 2, 7, 16)}
    return {"from position 0": {**given, "positions": torch.arange(7)}, "later": {**given, "positions": torch.arange(20, 27)}}


def multi_head(adapters: Adapters, given: Given) -> Any:
    weights = [given[f"{name}_proj"] for name in ("q", "k", "v", "output")]
    rotary = () if given["positions"] is None else (THETA, LENGTH, given["positions"])
    return adapters.multihead_self_attention(given["x"], given["num_heads"], *weights, *rotary)


def rows_in_halves(weight: Tensor, num_heads: int) -> Tensor:
    """The projection of which the interleaved layout makes what the layout of halves makes of `weight`, head by head."""
    d_head = weight.shape[0] // num_heads
    return weight.reshape(num_heads, d_head, -1)[:, halves(d_head)].reshape(weight.shape)


def other_layout(given: Given) -> list[Given]:
    """With pairs of halves attention is another, and right within itself: only `rope` is marked for it."""
    return [{**given, **{name: rows_in_halves(given[name], given["num_heads"]) for name in ("q_proj", "k_proj")}}]


def weights_in_halves(given: Given) -> list[Given]:
    """The same for the weights of blocks."""
    turned = ("attn.q_proj.weight", "attn.k_proj.weight")
    weights = {
        name: rows_in_halves(weight, given["num_heads"]) if name.endswith(turned) else weight
        for name, weight in given["weights"].items()
    }
    return [{**given, "weights": weights}]


# The whole


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


def shape_of(answer: Any, _given: Given) -> Any:
    return list(answer.shape)


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
    "linear": Check(linear_cases, linear),
    "embedding": Check(embedding_cases, embedding),
    "silu": Check(silu_cases, silu),
    "softmax": Check(softmax_cases, softmax),
    "rmsnorm": Check(rmsnorm_cases, rmsnorm),
    "rmsnorm.precision": Check(precision_cases, rmsnorm),
    "swiglu": Check(swiglu_cases, swiglu),
    "rope": Check(rope_cases, rope),
    "rope.positions": Check(positions_cases, rope_in_any_layout, also=layout_apart),
    "attention": Check(attention_cases, attention),
    "multi_head": Check(multi_head_cases, multi_head),
    "multi_head.rope": Check(multi_head_rope_cases, multi_head, also=other_layout),
    "block": Check(block_cases, block, also=weights_in_halves),
    "model": Check(model_cases, model, also=weights_in_halves),
    "model.registered": Check(build_cases, registered),
    "model.initialisation": Check(build_cases, initial, spread),
    "model.speed": Check(speed_cases, model, shape_of),
}
