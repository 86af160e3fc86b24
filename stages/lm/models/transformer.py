"""A decoder-only transformer: embedding, pre-norm blocks, a final norm and a linear head that gives logits.

GPT (Radford et al. 2018) with the modules of Llama (Touvron et al. 2023): pre-norm RMSNorm, RoPE, SwiGLU, no biases.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lm.models.attention import MultiHeadSelfAttention
from stages.lm.models.kernels import FAST, REFERENCE, Kernels
from stages.lm.models.kv_cache import KVCache
from stages.lm.models.layers import Embedding, Linear, RMSNorm, SiLUFeedForward, SwiGLU
from stages.lm.models.rope import RotaryEmbedding
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.weights import check_shapes, load_weights, save_weights


class TransformerBlock(nn.Module):
    """y = x + attention(norm(x)); z = y + feed_forward(norm(y))."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        rope: RotaryEmbedding | None = None,
        feed_forward: Literal["swiglu", "silu"] = "swiglu",
        norm_eps: float = 1e-5,
        kernels: Kernels = REFERENCE,
    ) -> None:
        super().__init__()
        self.ln1 = RMSNorm(d_model, norm_eps, kernels=kernels)
        self.attn = MultiHeadSelfAttention(d_model, num_heads, rope, kernels=kernels)
        self.ln2 = RMSNorm(d_model, norm_eps, kernels=kernels)
        self.ffn = (SwiGLU if feed_forward == "swiglu" else SiLUFeedForward)(d_model, d_ff, kernels=kernels)

    def forward(self, x: Tensor, token_positions: Tensor | None = None, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        x = x + self.attn(self.ln1(x), token_positions, cache, layer)
        return x + self.ffn(self.ln2(x))  # type: ignore[no-any-return]


@dataclass
class TransformerState:
    """What the model has read: the tokens that it still sees, and their keys and values."""

    ids: Tensor
    cache: KVCache


class TransformerLM(nn.Module):
    """The language model; its forward pass maps ids (batch, length) to logits (batch, length, vocab_size)."""

    trained_by: Literal["counting", "gradient"] = "gradient"

    def __init__(
        self,
        vocab_size: int,
        context_length: int,
        d_model: int,
        num_layers: int,
        num_heads: int,
        d_ff: int,
        rope_theta: float | None = 10000.0,
        feed_forward: Literal["swiglu", "silu"] = "swiglu",
        norm_eps: float = 1e-5,
        tie_embeddings: bool = False,
        kernels: Kernels = REFERENCE,
    ) -> None:
        """`rope_theta` None leaves out the rotary positions: order is then known from the causal mask alone."""
        super().__init__()
        self.vocab_size, self.context_length = vocab_size, context_length
        d_head = d_model // num_heads
        rope = None if rope_theta is None else RotaryEmbedding(rope_theta, d_head, context_length, kernels=kernels)
        self.token_embeddings = Embedding(vocab_size, d_model)
        self.layers = nn.ModuleList(
            TransformerBlock(d_model, num_heads, d_ff, rope, feed_forward, norm_eps, kernels) for _ in range(num_layers)
        )
        self.ln_final = RMSNorm(d_model, norm_eps, kernels=kernels)
        self.lm_head = Linear(d_model, vocab_size)
        if tie_embeddings:
            self.token_embeddings.weight = self.lm_head.weight
        self.cache_shape = (num_layers, num_heads, d_head)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next token at every position; length <= context_length."""
        return self.lm_head(self._features(ids))  # type: ignore[no-any-return]

    def loss(self, ids: Tensor) -> Tensor:
        """Mean cross-entropy of the next token in nats: `ids` are (batch, length + 1)."""
        logits = self(ids[:, :-1])  # (batch, length, vocab)
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    @torch.no_grad()
    def token_log_probs(self, ids: Tensor) -> Tensor:
        """ln p(ids[:, t + 1] | ids[:, : t + 1]): (batch, length) -> (batch, length - 1); length <= context_length + 1."""
        logits = self(ids[:, :-1])
        return -F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")

    def start(self, batch: int) -> TransformerState:
        layers, heads, d_head = self.cache_shape
        weight = self.lm_head.weight
        cache = KVCache(layers, batch, heads, self.context_length, d_head, weight.device, weight.dtype)
        return TransformerState(torch.empty(batch, 0, dtype=torch.long, device=weight.device), cache)

    @torch.no_grad()
    def advance(self, state: TransformerState, ids: Tensor) -> Tensor:
        """ln p(next | the last context_length tokens read): (batch, vocab).

        While the context has room, only the new tokens are computed; once it is full, the window slides and all of it is.
        """
        state.ids = torch.cat((state.ids, ids), dim=1)
        if state.ids.shape[1] > self.context_length:
            state.ids = ids = state.ids[:, -self.context_length :]
            state.cache.length = 0
        features = self._features(ids, state.cache)[:, -1]  # (batch, d_model)
        return torch.log_softmax(self.lm_head(features), dim=-1)

    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def save(self, folder: Path) -> None:
        tensors = self.state_dict()
        if self.token_embeddings.weight is self.lm_head.weight:
            del tensors["token_embeddings.weight"]
        save_weights(folder, tensors)

    @classmethod
    def from_settings(cls, settings: TransformerSettings, vocab_size: int, kernels: Kernels = FAST) -> Self:
        return cls(
            vocab_size,
            settings.context_length,
            settings.d_model,
            settings.layers,
            settings.heads,
            settings.feed_forward_width,
            settings.rope_theta if settings.position == "rope" else None,
            settings.feed_forward,
            settings.norm_eps,
            settings.tie_embeddings,
            kernels,
        )

    @classmethod
    def load(cls, folder: Path, settings: TransformerSettings, vocab_size: int) -> Self:
        model = cls.from_settings(settings, vocab_size)
        tensors = load_weights(folder)
        if settings.tie_embeddings and "lm_head.weight" in tensors:
            tensors["token_embeddings.weight"] = tensors["lm_head.weight"]
        check_shapes(folder, tensors, model.state_dict())
        model.load_state_dict(tensors)
        return model

    def _features(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """The final norm's output (batch, length, d_model), for tokens that follow those in the cache."""
        start = cache.length if cache is not None else 0
        positions = torch.arange(start, start + ids.shape[1], device=ids.device)
        x = self.token_embeddings(ids)
        for index, layer in enumerate(self.layers):
            x = layer(x, positions, cache, index)
        if cache is not None:
            cache.advance(ids.shape[1])
        return self.ln_final(x)  # type: ignore[no-any-return]
