"""A changed attention: what a head has gathered goes through a gate that the query opens or closes.

Qiu et al. 2025, "Gated Attention for Large Language Models": after the weighted sum of the values, each number (or each head) is
multiplied by sigmoid(W x). All else is a transformer of today: RMSNorm before each half, rotary positions, SwiGLU.

This one file is all that a variant needs: a config class, a model, and the four lines at the end that register them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast


class GatedConfig(PreTrainedConfig):
    """What an experiment may say under `model.config`; the first two follow from its tokenizer and its context."""

    model_type = "gated-attention"

    vocab_size: int = 512
    max_position_embeddings: int = 129
    hidden_size: int = 64
    num_hidden_layers: int = 2
    num_attention_heads: int = 2
    intermediate_size: int = 192
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    gate: str = "number"  # number: a gate for each number of a head; head: one for the whole head; none: attention as usual
    tie_word_embeddings: bool = False


class GatedAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V, times sigmoid(W x), through the output projection."""

    def __init__(self, config: GatedConfig, layer: int) -> None:
        super().__init__()
        d, self.layer, self.heads = config.hidden_size, layer, config.num_attention_heads
        self.query, self.key, self.value, self.output = (nn.Linear(d, d, bias=False) for _ in range(4))
        widths = {"number": d, "head": self.heads}
        if config.gate not in ("none", *widths):
            raise ValueError(f"gate is {config.gate!r}, which is none of: none, head, number")
        self.gate = nn.Linear(d, widths[config.gate]) if config.gate in widths else None

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], padding: Tensor | None, cache: Cache | None) -> Tensor:
        """x: (batch, queries, hidden_size); turn: cosines and sines by position; padding: (batch, keys), 0 where nothing is."""
        query, key, value = (self.split(layer(x)) for layer in (self.query, self.key, self.value))
        query, key = rotated(query, *turn), rotated(key, *turn)  # (batch, heads, queries, d)
        if cache is not None:
            key, value = cache.update(key, value, self.layer)  # (batch, heads, keys, d): those before and the new ones
        place = torch.arange(key.shape[2], device=x.device)
        seen = place <= place[key.shape[2] - query.shape[2] :, None]  # (queries, keys)
        if padding is not None:
            seen = seen & padding[:, None, None, :].bool() | (place == place[key.shape[2] - query.shape[2] :, None])
        scores = query @ key.mT / query.shape[-1] ** 0.5  # (batch, heads, queries, keys)
        attended = scores.masked_fill(~seen, float("-inf")).softmax(-1) @ value  # (batch, heads, queries, d)
        if self.gate is not None:
            attended = attended * self.split(self.gate(x)).sigmoid()  # a gate of a head is (batch, heads, queries, 1)
        return self.output(attended.transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        """(batch, length, heads * n) -> (batch, heads, length, n)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """x + attention(norm(x)), then x + network(norm(x))."""

    def __init__(self, config: GatedConfig, layer: int) -> None:
        super().__init__()
        d, inner = config.hidden_size, config.intermediate_size
        self.attention = GatedAttention(config, layer)
        self.norms = nn.ModuleList(nn.RMSNorm(d, config.rms_norm_eps) for _ in range(2))
        self.up, self.open = (nn.Linear(d, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, d, bias=False)

    def forward(self, x: Tensor, *given: object) -> Tensor:
        x = x + self.attention(self.norms[0](x), *given)
        y = self.norms[1](x)
        return x + self.down(F.silu(self.open(y)) * self.up(y))


class GatedForCausalLM(PreTrainedModel, GenerationMixin):
    """ids (batch, length) to logits (batch, length, vocab_size), and to the loss where there are labels."""

    config_class = GatedConfig
    _no_split_modules = ["Block"]
    _tied_weights_keys = {"lm_head.weight": "embeddings.weight"}

    def __init__(self, config: GatedConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()  # draws the weights, ties them where the config says so

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **_: object,
    ) -> CausalLMOutputWithPast:
        """attention_mask: (batch, tokens so far), 0 at padding; labels: the ids themselves, -100 where nothing is learned."""
        x = self.embeddings(input_ids)  # (batch, length, hidden_size)
        if position_ids is None:
            start = 0 if past_key_values is None else past_key_values.get_seq_length()
            position_ids = torch.arange(start, start + x.shape[1], device=x.device)[None]  # (1, length)
        turn = self.angles(position_ids)
        for layer in self.layers:
            x = layer(x, turn, attention_mask, past_key_values)
        logits = self.lm_head(self.norm(x))
        loss = None
        if labels is not None:  # what stands at t is learned from what was read up to t - 1
            loss = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(loss, logits, past_key_values)

    def angles(self, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, (batch, 1, length, d / 2) each, of position / theta^(2k / d). Computed, not kept: a buffer that is
        not saved would be empty after `from_pretrained`."""
        d = self.config.hidden_size // self.config.num_attention_heads
        waves = self.config.rope_theta ** (-torch.arange(0, d, 2, device=position_ids.device) / d)
        turn = position_ids[:, None, :, None] * waves
        return turn.cos(), turn.sin()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Pairs (x[k], x[k + d / 2]) of (batch, heads, length, d) turned by their angles (Su et al. 2021), as Llama's code does."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)


AutoConfig.register("gated-attention", GatedConfig, exist_ok=True)
AutoModelForCausalLM.register(GatedConfig, GatedForCausalLM, exist_ok=True)
GatedConfig.register_for_auto_class()
GatedForCausalLM.register_for_auto_class("AutoModelForCausalLM")
