"""Language models: layers from their definitions, the families built of them, and one registry."""

from importlib import import_module
from typing import Any

_EXPORTS = {
    "Embedding": "layers",
    "FeedForward": "feed_forward",
    "LanguageModel": "interface",
    "LayerNorm": "norms",
    "Linear": "layers",
    "MultiHeadAttention": "attention.multi_head",
    "MultiHeadSelfAttention": "attention.multi_head",
    "NgramLM": "ngram.model",
    "RMSNorm": "norms",
    "RotaryEmbedding": "positions",
    "SwiGLU": "feed_forward",
    "TransformerBlock": "block",
    "TransformerLM": "transformer",
    "scaled_dot_product_attention": "functional",
    "silu": "functional",
    "softmax": "functional",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
