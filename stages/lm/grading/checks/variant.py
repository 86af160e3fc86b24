"""Project 1.3: a variant of a transformer in one file for Hugging Face transformers, asked as one that is to be trained (R63)."""

import random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.lm.grading.checks.check import Adapters, Check, Given, integers

VOCAB, LENGTH = 32, 12
NEAR = 1e-3
"""By how much logits may differ, relative to the largest one."""
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 64}
"""Under the names that Llama's config has; a config class without them keeps its own sizes."""


def built(variant: Adapters) -> Any:
    """The variant's model, small and with new weights. Raises ValueError where the file does not hold one and its config."""
    from transformers import PretrainedConfig, PreTrainedModel

    own: list[Any] = [kind for kind in vars(variant).values() if isinstance(kind, type) and kind.__module__ == variant.__name__]
    configs = [kind for kind in own if issubclass(kind, PretrainedConfig) and kind.model_type]
    models = [kind for kind in own if issubclass(kind, PreTrainedModel) and kind.config_class in configs]
    heads = [kind for kind in models if hasattr(kind, "generate") and "labels" in kind.forward.__code__.co_varnames]
    heads = heads or [kind for kind in models if hasattr(kind, "generate")]
    if len(configs) != 1 or len(heads) != 1:
        raise ValueError(f"variant.py should hold one config class and one causal model; it has {len(configs)} and {len(heads)}")
    torch.manual_seed(0)
    return heads[0](configs[0](vocab_size=VOCAB, max_position_embeddings=LENGTH + 2, **SIZES))


def shaken(variant: Adapters) -> Any:
    """The same with all weights random, so that what begins as zero counts too."""
    model = built(variant).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model


def near(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and bool((found - expected).abs().max() <= NEAR * expected.abs().max().clamp(min=1.0))


def text_cases(rng: random.Random) -> dict[str, Given]:
    return {"random weights and a hidden text": {"ids": integers(rng, VOCAB, 2, LENGTH)}}


@torch.no_grad()
def of_changed_text(variant: Adapters, given: Given) -> Any:
    model, other = shaken(variant), given["ids"].clone()
    other[:, -1] = (other[:, -1] + 1) % VOCAB
    return {"logits": model(given["ids"]).logits, "of the other text": model(other).logits}


def sees_only_the_past(answer: Any, _given: Given) -> Any:
    logits, other = answer["logits"], answer["of the other text"]
    return {
        "the shape of the logits": list(logits.shape),
        "earlier logits stay as they are where the last token changes": near(other[:, :-1], logits[:, :-1]),
        "the last logits change with it": not near(other[:, -1], logits[:, -1]),
    }


@torch.no_grad()
def with_labels(variant: Adapters, given: Given) -> Any:
    found = shaken(variant)(given["ids"], labels=given["ids"])
    return {"loss": found.loss, "logits": found.logits}


def loss_is_of_shifted_labels(answer: Any, given: Given) -> Any:
    expected = F.cross_entropy(answer["logits"][:, :-1].flatten(0, 1), given["ids"][:, 1:].flatten())
    return {"loss is the mean of -ln p(labels[t + 1]) by the logits at t": near(answer["loss"], expected)}


@torch.no_grad()
def token_by_token(variant: Adapters, given: Given) -> Any:
    """A model that keeps nothing in the cache is read anew for each token, as `generate` does."""
    from transformers import DynamicCache

    model, cache = shaken(variant), DynamicCache()
    found = [
        model(given["ids"][:, cache.get_seq_length() : place + 1], past_key_values=cache, use_cache=True).logits[:, -1]
        for place in range(LENGTH)
    ]
    return {"whole": model(given["ids"]).logits, "by token": torch.stack(found, dim=1)}


def cache_says_the_same(answer: Any, _given: Given) -> Any:
    return {"token by token the logits are those of the whole text": near(answer["by token"], answer["whole"])}


@torch.no_grad()
def saved_and_loaded(variant: Adapters, given: Given) -> Any:
    model = shaken(variant)
    model.save_pretrained("saved")
    loaded = type(model).from_pretrained("saved").eval()
    return {"before": model(given["ids"]).logits, "after": loaded(given["ids"]).logits}


def saving_keeps_all(answer: Any, _given: Given) -> Any:
    return {"from_pretrained gives the logits of what save_pretrained was given": near(answer["after"], answer["before"])}


def training_cases(rng: random.Random) -> dict[str, Given]:
    following = list(range(VOCAB))
    rng.shuffle(following)
    return {
        "120 steps on texts where each token tells the next": {"following": following, "starts": integers(rng, VOCAB, 120, 32)}
    }


def rolled(following: list[int], starts: Tensor) -> Tensor:
    """Texts of LENGTH + 1 tokens from the first of each: (batch) to (batch, LENGTH + 1)."""
    rows, table = [starts], torch.tensor(following)
    for _ in range(LENGTH):
        rows.append(table[rows[-1]])
    return torch.stack(rows, dim=-1)


def trained(variant: Adapters, given: Given) -> Any:
    """The logits of what follows some texts, after training that looks at nothing else than the last logits of other texts."""
    model = built(variant).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for starts in given["starts"]:
        ids = rolled(given["following"], starts)
        optimizer.zero_grad()
        F.cross_entropy(model(ids[:, :-1]).logits[:, -1], ids[:, -1]).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        return model.eval()(rolled(given["following"], torch.arange(VOCAB))[:, :-1]).logits[:, -1]


def has_learned(answer: Any, given: Given) -> Any:
    loss = F.cross_entropy(answer.float(), rolled(given["following"], torch.arange(VOCAB))[:, -1])
    return {"the loss falls below half of that of guessing": bool(loss < 0.5 * torch.tensor(float(VOCAB)).log())}


CHECKS = {
    "variant.causal": Check(
        text_cases,
        of_changed_text,
        sees_only_the_past,
        right={
            "the shape of the logits": [2, LENGTH, VOCAB],
            "earlier logits stay as they are where the last token changes": True,
            "the last logits change with it": True,
        },
    ),
    "variant.loss": Check(
        text_cases,
        with_labels,
        loss_is_of_shifted_labels,
        right={"loss is the mean of -ln p(labels[t + 1]) by the logits at t": True},
    ),
    "variant.cache": Check(
        text_cases,
        token_by_token,
        cache_says_the_same,
        right={"token by token the logits are those of the whole text": True},
    ),
    "variant.saved": Check(
        text_cases,
        saved_and_loaded,
        saving_keeps_all,
        right={"from_pretrained gives the logits of what save_pretrained was given": True},
    ),
    "variant.trains": Check(
        training_cases,
        trained,
        has_learned,
        right={"the loss falls below half of that of guessing": True},
    ),
}
