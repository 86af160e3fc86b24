"""Settings of small transformers, one for every way in which they can differ; and those that stand for known models."""

from stages.lm.models.settings import TransformerSettings

VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "plain feed-forward": {"feed_forward": "silu"},
    "gated by GELU": {"feed_forward": "geglu"},
    "Vaswani": {"norm": "layer", "norm_position": "post", "feed_forward": "relu", "bias": True, "position": "sinusoidal"},
    "GPT-2": {"norm": "layer", "feed_forward": "gelu", "bias": True, "position": "learned", "tie_embeddings": True},
    "gated with biases": {"bias": True},
    "no norms, no positions": {"norm_position": "none", "position": "none", "d_ff": 40},
    "shared heads": {"heads": 4, "kv_heads": 2, "qk_norm": True},
    "wide heads": {"heads": 3, "kv_heads": 1, "d_head": 10, "bias": True},
    "sliding window": {"attention": "sliding", "window": 7},
    "Mistral": {"attention": "sliding", "window": 4, "heads": 4, "kv_heads": 2},
    "window as wide as the context": {"attention": "sliding", "window": 24},
    "every other block global": {"attention": "sliding", "window": 5, "global_every": 2},
    "strided": {"attention": "strided", "stride": 5},
    "linear": {"attention": "linear"},
    "linear, shared heads": {"attention": "linear", "heads": 4, "kv_heads": 2, "position": "learned"},
    "linear and global": {"attention": "linear", "global_every": 3, "qk_norm": True},
}
CONTEXT = 24


def settings(**changes: object) -> TransformerSettings:
    """Three layers, two heads, sixteen numbers, and the changes."""
    values: dict[str, object] = {"family": "transformer", "layers": 3, "heads": 2, "d_model": 16, "context_length": CONTEXT}
    return TransformerSettings.model_validate(values | changes)
