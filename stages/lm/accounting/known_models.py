"""Known models as settings of our transformer, and their ratios: `python -m stages.lm.accounting.known_models`.

Sources: Radford et al. 2018 and 2019; Brown et al. 2020, table 2.1; Touvron et al. 2023, "LLaMA" and "Llama 2"; Grattafiori
et al. 2024; Jiang et al. 2023, "Mistral 7B"; Mesnard et al. 2024, "Gemma"; Yang et al. 2025, "Qwen3".
"""

import sys
from typing import Any, NamedTuple

from stages.lm.accounting import transformer
from stages.lm.models.settings import TransformerSettings


class Known(NamedTuple):
    """A model's settings and the size of its vocabulary."""

    settings: TransformerSettings
    vocab_size: int

    @property
    def parameters(self) -> int:
        return sum(transformer.parameters(self.settings, self.vocab_size).values())

    def ratios(self) -> dict[str, float]:
        """d_ff / d_model, heads * d_head / d_model, d_model / layers."""
        s = self.settings
        return {
            "ff_ratio": s.feed_forward_width / s.d_model,
            "head_ratio": s.heads * s.head_width / s.d_model,
            "aspect": s.d_model / s.layers,
        }


def _known(vocab_size: int, shape: tuple[int, int, int, int], context_length: int, **other: Any) -> Known:
    """shape: layers, d_model, heads, d_ff."""
    numbers = dict(zip(("layers", "d_model", "heads", "d_ff"), shape, strict=True))
    values = {"family": "transformer", "context_length": context_length, **numbers, **other}
    return Known(TransformerSettings.model_validate(values), vocab_size)


GPT: dict[str, Any] = {"norm": "layer", "feed_forward": "gelu", "position": "learned", "bias": True, "tie_embeddings": True}
GEMMA: dict[str, Any] = {"feed_forward": "geglu", "d_head": 256, "tie_embeddings": True}
QWEN: dict[str, Any] = {"kv_heads": 8, "d_head": 128, "qk_norm": True}

KNOWN_MODELS = {
    "GPT": _known(40_478, (12, 768, 12, 3072), 512, **GPT, norm_position="post"),
    "GPT-2 small": _known(50_257, (12, 768, 12, 3072), 1024, **GPT),
    "GPT-2 XL": _known(50_257, (48, 1600, 25, 6400), 1024, **GPT),
    "GPT-3 175B": _known(50_257, (96, 12_288, 96, 49_152), 2048, **GPT),
    "LLaMA 7B": _known(32_000, (32, 4096, 32, 11_008), 2048),
    "LLaMA 65B": _known(32_000, (80, 8192, 64, 22_016), 2048),
    "Llama 2 70B": _known(32_000, (80, 8192, 64, 28_672), 4096, kv_heads=8),
    "Llama 3 8B": _known(128_256, (32, 4096, 32, 14_336), 8192, kv_heads=8),
    "Llama 3 70B": _known(128_256, (80, 8192, 64, 28_672), 8192, kv_heads=8),
    "Llama 3 405B": _known(128_256, (126, 16_384, 128, 53_248), 8192, kv_heads=8),
    "Mistral 7B": _known(32_000, (32, 4096, 32, 14_336), 32_768, kv_heads=8, attention="sliding", window=4096),
    "Gemma 2B": _known(256_000, (18, 2048, 8, 16_384), 8192, **GEMMA, kv_heads=1),
    "Gemma 7B": _known(256_000, (28, 3072, 16, 24_576), 8192, **GEMMA),
    "Qwen3 0.6B": _known(151_936, (28, 1024, 16, 3072), 32_768, **QWEN, tie_embeddings=True),
    "Qwen3 32B": _known(151_936, (64, 5120, 64, 25_600), 32_768, **QWEN),
}


def table() -> str:
    """A line for each model: parameters, shape, ratios, and what its cache takes for each position."""
    titles = ("layers", "d_model", "heads", "kv", "d_head", "d_ff", "d_ff/d", "h*dh/d", "d/layers", "KV bytes")
    lines = [f"{'':<14}{'parameters':>17}" + "".join(f"{title:>9}" for title in titles)]
    for name, model in KNOWN_MODELS.items():
        s = model.settings
        shape = (s.layers, s.d_model, s.heads, s.key_value_heads, s.head_width, s.feed_forward_width)
        ratios = "".join(f"{ratio:>9.2f}" for ratio in model.ratios().values())
        numbers = "".join(f"{number:>9}" for number in shape)
        lines.append(f"{name:<14}{model.parameters:>17,}{numbers}{ratios}{transformer.cache_bytes(s, 1, 1, 2):>9}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
