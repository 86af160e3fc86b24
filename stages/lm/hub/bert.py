"""BERT as `BertForMaskedLM`, where it is made of the modules of Devlin et al. 2019.

[MASK] has a row in the table of token vectors but is never predicted: its bias in the output layer is lower than any other logit
can be. Vectors of sentences, which ours does without, are zeros.
"""

from typing import Any

import numpy as np

from stages.lm.hub.layouts import Arrays, KnownLayout, agrees, renamed, sizes
from stages.lm.models.bert.settings import BertSettings

MADE_OF = {
    "norm": "layer",
    "norm_position": "post",
    "qk_norm": False,
    "attention": "full",
    "position": "learned",
    "feed_forward": "gelu",
    "bias": True,
}

OUTSIDE = {
    "token_embeddings": "bert.embeddings.word_embeddings",
    "positions": "bert.embeddings.position_embeddings",
    "ln_embeddings": "bert.embeddings.LayerNorm",
    "transform": "cls.predictions.transform.dense",
    "ln_transform": "cls.predictions.transform.LayerNorm",
}
INSIDE = {
    "attn.q_proj": "attention.self.query",
    "attn.k_proj": "attention.self.key",
    "attn.v_proj": "attention.self.value",
    "attn.output_proj": "attention.output.dense",
    "ln1": "attention.output.LayerNorm",
    "ffn.w1": "intermediate.dense",
    "ffn.w2": "output.dense",
    "ln2": "output.LayerNorm",
}
"""The names of modules, outside and inside the blocks."""

NEVER = -1e9
"""The logit of [MASK]: its probability is 0 in any floating-point type."""


class BertLayout(KnownLayout[BertSettings]):
    model_type, architecture = "bert", "BertForMaskedLM"

    def fits(self, settings: Any) -> bool:
        if not isinstance(settings, BertSettings):
            return False
        heads_share_nothing = settings.key_value_heads == settings.heads
        heads_fill_model = settings.head_width * settings.heads == settings.d_model
        return heads_share_nothing and heads_fill_model and agrees(settings, MADE_OF)

    def config(self, settings: BertSettings, vocab_size: int) -> dict[str, Any]:
        return sizes(settings) | {
            "vocab_size": vocab_size + 1,
            "type_vocab_size": 1,
            "hidden_act": "gelu",
            "layer_norm_eps": settings.norm_eps,
            "hidden_dropout_prob": settings.dropout,
            "attention_probs_dropout_prob": 0.0,
            "tie_word_embeddings": True,
        }

    def to_hub(self, weights: Arrays, settings: BertSettings) -> Arrays:
        found: Arrays = {"bert.embeddings.token_type_embeddings.weight": np.zeros((1, settings.d_model), np.float32)}
        for name, array in weights.items():
            if name == "output_bias":
                found["cls.predictions.bias"] = np.append(array, np.float32(NEVER))
            else:
                found[renamed(name, "layers", "bert.encoder.layer", OUTSIDE | INSIDE)] = array
        return found
