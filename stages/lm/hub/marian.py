"""The transformer of Vaswani et al. 2017 that translates, as `MarianMTModel`, which has the same modules.

Sines and cosines of positions take turns here and are two halves there: so the numbers of the residual stream change places, in
every matrix and vector that reads or writes it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.hub.layouts import Arrays, KnownLayout, renamed
from stages.lm.models.seq2seq.settings import TransformerSeq2SeqSettings

MODULES = {
    "token_embeddings": "model.shared",
    "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj",
    "attn.v_proj": "self_attn.v_proj",
    "attn.output_proj": "self_attn.out_proj",
    "ln1": "self_attn_layer_norm",
    "cross_attn.q_proj": "encoder_attn.q_proj",
    "cross_attn.k_proj": "encoder_attn.k_proj",
    "cross_attn.v_proj": "encoder_attn.v_proj",
    "cross_attn.output_proj": "encoder_attn.out_proj",
    "ln_cross": "encoder_attn_layer_norm",
    "ffn.w1": "fc1",
    "ffn.w2": "fc2",
    "ln2": "final_layer_norm",
}
"""The names of modules, most of them those of a block."""

READERS = ("q_proj", "k_proj", "v_proj", "w1", "token_embeddings")
"""Modules whose matrices have the residual stream as columns; all others write to it."""


class MarianLayout(KnownLayout[TransformerSeq2SeqSettings]):
    model_type, architecture = "marian", "MarianMTModel"

    def fits(self, settings: Any) -> bool:
        return isinstance(settings, TransformerSeq2SeqSettings) and settings.d_model % 2 == 0

    def config(self, settings: TransformerSeq2SeqSettings, vocab_size: int) -> dict[str, Any]:
        sides = {"layers": settings.layers, "attention_heads": settings.heads, "ffn_dim": settings.feed_forward_width}
        return {
            "vocab_size": vocab_size,
            "d_model": settings.d_model,
            **{f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in sides.items()},
            "max_position_embeddings": settings.context_length,
            "activation_function": "relu",
            "scale_embedding": True,
            "tie_word_embeddings": True,
            "is_encoder_decoder": True,
            "dropout": settings.dropout,
        }

    def to_hub(self, weights: Arrays, settings: TransformerSeq2SeqSettings) -> Arrays:
        even_first = np.argsort(np.arange(settings.d_model) % 2, kind="stable")
        found = {}
        for name, array in weights.items():
            new = name
            for side in ("encoder", "decoder"):
                new = renamed(new, side, f"model.{side}.layers", MODULES)
            found[new] = _reordered(array, name.split(".")[-2] in READERS, even_first)
        return found


def _reordered(array: NDArray[Any], reads: bool, order: NDArray[np.int64]) -> NDArray[Any]:
    """The residual stream in another order; the bias of a module that reads it is none of it."""
    if reads and array.ndim == 1:
        return array
    return np.ascontiguousarray(array.take(order, axis=1 if reads else 0))
