"""The adapters of this project's own code: what submissions are compared with, and an example of how short adapters are."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.lm.bpe.files import read_gpt2, write_gpt2
from stages.lm.bpe.pretokenization import compile_pattern, find_words
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.bpe.training import train_bpe as _train_bpe
from stages.lm.inference.sampling import shaped
from stages.lm.inference.settings import SamplingSettings
from stages.lm.models import functional
from stages.lm.models.attention.multi_head import MultiHeadSelfAttention
from stages.lm.models.block import TransformerBlock
from stages.lm.models.feed_forward import SwiGLU
from stages.lm.models.layers import Embedding, Linear
from stages.lm.models.norms import RMSNorm
from stages.lm.models.positions import RotaryEmbedding
from stages.lm.models.transformer import TransformerLM
from stages.lm.training import batches, checkpoint, clipping, loss, optimizer
from stages.lm.training import schedule as schedules

Merges = list[tuple[bytes, bytes]]


def pretokenize(text: str) -> list[str]:
    return list(find_words(compile_pattern("gpt2"), text))


def train_bpe(input_path: str, vocab_size: int, special_tokens: list[str]) -> tuple[dict[int, bytes], Merges]:
    return _train_bpe(input_path, vocab_size, special_tokens, workers=1)


def build_tokenizer(vocab: dict[int, bytes], merges: Merges, special_tokens: list[str] | None = None) -> Tokenizer:
    return Tokenizer(vocab, merges, special_tokens)


def save_tokenizer(vocab: dict[int, bytes], merges: Merges, folder: str) -> None:
    write_gpt2(Path(folder, "vocab.json"), Path(folder, "merges.txt"), Tokenizer(vocab, merges))


def load_tokenizer(folder: str, special_tokens: list[str]) -> Tokenizer:
    return Tokenizer(*read_gpt2(Path(folder, "vocab.json"), Path(folder, "merges.txt"), special_tokens), special_tokens)


def linear(weight: Tensor, x: Tensor) -> Tensor:
    d_out, d_in = weight.shape
    return _with(Linear(d_in, d_out), weight=weight)(x)  # type: ignore[no-any-return]


def embedding(weight: Tensor, token_ids: Tensor) -> Tensor:
    return _with(Embedding(*weight.shape), weight=weight)(token_ids)  # type: ignore[no-any-return]


def silu(x: Tensor) -> Tensor:
    return functional.silu(x)


def softmax(x: Tensor, dim: int) -> Tensor:
    return functional.softmax(x, dim)


def rmsnorm(weight: Tensor, x: Tensor, eps: float) -> Tensor:
    return _with(RMSNorm(len(weight), eps), weight=weight)(x)  # type: ignore[no-any-return]


def swiglu(w1: Tensor, w2: Tensor, w3: Tensor, x: Tensor) -> Tensor:
    d_ff, d_model = w1.shape
    return _with(SwiGLU(d_model, d_ff), **{"w1.weight": w1, "w2.weight": w2, "w3.weight": w3})(x)  # type: ignore[no-any-return]


def rope(x: Tensor, token_positions: Tensor, theta: float, max_seq_len: int) -> Tensor:
    turned: Tensor = RotaryEmbedding(theta, x.shape[-1], max_seq_len)(x, token_positions)
    return turned


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, mask)


def multihead_self_attention(
    x: Tensor,
    num_heads: int,
    q_proj: Tensor,
    k_proj: Tensor,
    v_proj: Tensor,
    output_proj: Tensor,
    theta: float | None = None,
    max_seq_len: int = 0,
    token_positions: Tensor | None = None,
) -> Tensor:
    d_model = x.shape[-1]
    turn = None if theta is None else RotaryEmbedding(theta, d_model // num_heads, max_seq_len)
    named = {"q_proj": q_proj, "k_proj": k_proj, "v_proj": v_proj, "output_proj": output_proj}
    attention = MultiHeadSelfAttention(d_model, num_heads, turn)
    weights = {f"{name}.weight": weight for name, weight in named.items()}
    return _with(attention, **weights)(x, token_positions)  # type: ignore[no-any-return]


def transformer_block(x: Tensor, weights: dict[str, Tensor], num_heads: int, theta: float, max_seq_len: int) -> Tensor:
    d_ff, d_model = weights["ffn.w1.weight"].shape
    turn = RotaryEmbedding(theta, d_model // num_heads, max_seq_len)
    return _with(TransformerBlock(d_model, num_heads, d_ff, turn), **weights)(x)  # type: ignore[no-any-return]


def transformer_lm(
    token_ids: Tensor, weights: dict[str, Tensor], num_layers: int, num_heads: int, theta: float, context_length: int
) -> Tensor:
    vocab_size, d_model = weights["lm_head.weight"].shape
    d_ff = len(weights["layers.0.ffn.w1.weight"])
    model = build_transformer_lm(vocab_size, context_length, d_model, num_layers, num_heads, d_ff, theta)
    return _with(model, **weights)(token_ids)  # type: ignore[no-any-return]


def build_transformer_lm(
    vocab_size: int, context_length: int, d_model: int, num_layers: int, num_heads: int, d_ff: int, rope_theta: float
) -> nn.Module:
    return TransformerLM(vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return loss.cross_entropy(logits, targets)


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    clipping.clip_gradients(parameters, max_norm)


def get_adamw() -> type[torch.optim.Optimizer]:
    return optimizer.AdamW


def cosine_schedule(t: int, max_learning_rate: float, min_learning_rate: float, warmup_steps: int, decay_end: int) -> float:
    return schedules.cosine_schedule(t, max_learning_rate, min_learning_rate, warmup_steps, decay_end)


def get_batch(dataset: NDArray[np.integer], batch_size: int, context_length: int, device: str) -> tuple[Tensor, Tensor]:
    return batches.get_batch(dataset, batch_size, context_length, device)


def save_checkpoint(
    model: nn.Module, optimizer: torch.optim.Optimizer, iteration: int, out: str | os.PathLike[str] | IO[bytes]
) -> None:
    checkpoint.save_checkpoint(model, optimizer, iteration, out)


def load_checkpoint(
    src: str | os.PathLike[str] | IO[bytes], model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> int:
    return checkpoint.load_checkpoint(src, model, optimizer)


def next_token_probabilities(
    logits: Tensor, recent: Sequence[int], temperature: float, top_p: float, repetition_penalty: float
) -> Tensor:
    settings = SamplingSettings(temperature=temperature, top_p=top_p, repetition_penalty=repetition_penalty)
    return shaped(logits[None], torch.tensor([list(recent)], dtype=torch.long), settings)[0].exp()


def generate(
    model: nn.Module,
    prompt: Sequence[int],
    max_tokens: int,
    end_of_text: int,
    context_length: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
) -> list[int]:
    ids = list(prompt)
    while len(ids) < len(prompt) + max_tokens:
        with torch.no_grad():
            logits = model(torch.tensor([ids[-context_length:]]))[0, -1]
        probabilities = next_token_probabilities(logits, ids[-10:], temperature, top_p, repetition_penalty)
        token = int(torch.multinomial(probabilities, 1))
        if token == end_of_text:
            break
        ids.append(token)
    return ids[len(prompt) :]


def _with(module: nn.Module, **weights: Tensor) -> nn.Module:
    """The module with these weights, by the names of its state."""
    state: Mapping[str, Tensor] = weights
    module.load_state_dict(state)
    return module
