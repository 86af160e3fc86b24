"""Models of Llama's modules (Touvron et al. 2023) as `LlamaForCausalLM`, which transformers has.

Rotary positions turn the pairs (x[2k], x[2k + 1]) of a head here, as in the paper, and (x[k], x[k + d / 2]) there: the rows that
make queries and keys change places. The angles are worked out in float64 here and in float32 there; nothing else differs.
"""

from typing import Any

from numpy.typing import NDArray

from stages.lm.errors import UserError
from stages.lm.hub.layouts import TIED, Arrays, TwoWayLayout, agrees, renamed, sizes, stated_sizes
from stages.lm.models.settings import TransformerSettings
from stages.lm.settings import parse

MADE_OF = {
    "norm": "rms",
    "norm_position": "pre",
    "qk_norm": False,
    "attention": "full",
    "position": "rope",
    "feed_forward": "swiglu",
}
"""What a Llama is made of."""

OUTSIDE = {"token_embeddings": "model.embed_tokens", "ln_final": "model.norm", "lm_head": "lm_head"}
INSIDE = {
    "ln1": "input_layernorm",
    "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj",
    "attn.v_proj": "self_attn.v_proj",
    "attn.output_proj": "self_attn.o_proj",
    "ln2": "post_attention_layernorm",
    "ffn.w1": "mlp.gate_proj",
    "ffn.w2": "mlp.down_proj",
    "ffn.w3": "mlp.up_proj",
}
"""The names of modules, outside and inside the blocks."""


class LlamaLayout(TwoWayLayout):
    model_type, architecture = "llama", "LlamaForCausalLM"

    def fits(self, settings: Any) -> bool:
        """Biases it may have; transformers wants d_model to be a multiple of heads."""
        if not isinstance(settings, TransformerSettings) or settings.d_model % settings.heads:
            return False
        return agrees(settings, MADE_OF)

    def config(self, settings: TransformerSettings, vocab_size: int) -> dict[str, Any]:
        return sizes(settings) | {
            "vocab_size": vocab_size,
            "tie_word_embeddings": settings.tie_embeddings,
            "hidden_act": "silu",
            "rms_norm_eps": settings.norm_eps,
            "rope_parameters": {"rope_type": "default", "rope_theta": settings.rope_theta},
            "attention_bias": settings.bias,
            "mlp_bias": settings.bias,
            "attention_dropout": 0.0,
        }

    def settings(self, config: dict[str, Any], where: str) -> TransformerSettings:
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise UserError(f"{where}: has rotary positions of type {kind!r}; only 'default' can be read")
        bias = config.get("attention_bias", False)
        if bias != config.get("mlp_bias", False) or config.get("hidden_act", "silu") != "silu":
            raise UserError(f"{where}: needs hidden_act 'silu', and biases in all linear layers of a block or in none")
        found = stated_sizes(config) | {
            "family": "transformer",
            "tie_embeddings": config.get("tie_word_embeddings", False),
            "norm_eps": config.get("rms_norm_eps", 1e-6),
            "rope_theta": float(rope.get("rope_theta", config.get("rope_theta", 10000.0))),
            "bias": bias,
        }
        return parse(TransformerSettings, found, where)

    def to_hub(self, weights: Arrays, settings: TransformerSettings) -> Arrays:
        found = {}
        for name, array in weights.items():
            stored = TIED[0] if settings.tie_embeddings and name == TIED[1] else name
            new = renamed(stored, "layers", "model.layers", OUTSIDE | INSIDE)
            found[new] = _halves(array, settings.head_width) if _is_turned(new) else array
        return found

    def from_hub(self, weights: Arrays, settings: TransformerSettings) -> Arrays:
        names = {other: own for own, other in (OUTSIDE | INSIDE).items()}
        found = {}
        for name, array in weights.items():
            new = renamed(name, "model.layers", "layers", names)
            new = TIED[1] if settings.tie_embeddings and new == TIED[0] else new
            found[new] = _pairs(array, settings.head_width) if _is_turned(new) else array
        return found


def _is_turned(name: str) -> bool:
    return ".q_proj." in name or ".k_proj." in name


def _halves(array: NDArray[Any], d_head: int) -> NDArray[Any]:
    """Rows of each head in pairs (x[2k], x[2k + 1]) -> in halves (x[k], x[k + d_head / 2]); a bias has no columns."""
    return array.reshape(-1, d_head // 2, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def _pairs(array: NDArray[Any], d_head: int) -> NDArray[Any]:
    """The reverse of `_halves`."""
    return array.reshape(-1, 2, d_head // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
