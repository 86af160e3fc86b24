"""The functions by which your code is checked: let each call what you wrote, in a line or a few, and return what it says.

Put your own modules beside this file and import them; nothing else of your machine is there when it is graded. A function that
you have not written yet may stay as it is: it loses its own points and no others. B, T, ... are dimensions, and `...` stands for
any number of leading ones.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Merges = list[tuple[bytes, bytes]]


class Tokenizer(Protocol):
    """What a tokenizer of yours has to have."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text; special tokens in it become their ids, the longest first."""

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of the text that the chunks are parts of, one after the other, in memory that does not grow with the text."""

    def decode(self, ids: list[int]) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD."""


# Project 1.1: byte-pair encoding


def pretokenize(text: str) -> list[str]:
    """The pre-tokens of a text without special tokens, by GPT-2's pattern (R8). Together they are the text."""
    raise NotImplementedError


def train_bpe(input_path: str, vocab_size: int, special_tokens: list[str]) -> tuple[dict[int, bytes], Merges]:
    """Train on a UTF-8 text file (R9 to R11).

    `vocab_size` counts the 256 bytes, the special tokens and the merges. Returns the bytes of every id from 0 on, in any order of
    bytes and special tokens, and the merges in the order in which they were learned. Of equally frequent pairs the greater one
    wins, compared as (bytes, bytes). Where no pair is left, there are fewer tokens.
    """
    raise NotImplementedError


def build_tokenizer(vocab: dict[int, bytes], merges: Merges, special_tokens: list[str] | None = None) -> Tokenizer:
    """A tokenizer (R11, R13 to R15). Special tokens that the vocabulary lacks get the next ids; no argument is changed."""
    raise NotImplementedError


def save_tokenizer(vocab: dict[int, bytes], merges: Merges, folder: str) -> None:
    """Write vocabulary and merges into a folder that exists, in any format of yours (R12)."""
    raise NotImplementedError


def load_tokenizer(folder: str, special_tokens: list[str]) -> Tokenizer:
    """The tokenizer that `save_tokenizer` wrote."""
    raise NotImplementedError


# Project 1.2: layers. Tensors are float32 unless said otherwise.


def linear(weight: Tensor, x: Tensor) -> Tensor:
    """weight: (d_out, d_in), x: (..., d_in) -> (..., d_out) (R37)."""
    raise NotImplementedError


def embedding(weight: Tensor, token_ids: Tensor) -> Tensor:
    """weight: (vocab_size, d_model), token_ids: (...) int64 -> (..., d_model) (R36)."""
    raise NotImplementedError


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), elementwise (R38)."""
    raise NotImplementedError


def softmax(x: Tensor, dim: int) -> Tensor:
    """Softmax along a dimension (R39)."""
    raise NotImplementedError


def rmsnorm(weight: Tensor, x: Tensor, eps: float) -> Tensor:
    """weight: (d_model) float32, x: (..., d_model) of any float type -> the shape and type of x (R28)."""
    raise NotImplementedError


def swiglu(w1: Tensor, w2: Tensor, w3: Tensor, x: Tensor) -> Tensor:
    """W2 (SiLU(W1 x) * W3 x): w1, w3: (d_ff, d_model), w2: (d_model, d_ff), x: (..., d_model) (R30)."""
    raise NotImplementedError


def rope(x: Tensor, token_positions: Tensor, theta: float, max_seq_len: int) -> Tensor:
    """x: (..., sequence, d_k), token_positions: int64 that broadcast to (..., sequence), each below max_seq_len (R29).

    The pair (x[2k], x[2k + 1]) turns by position / theta^(2k / d_k).
    """
    raise NotImplementedError


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """query: (..., queries, d_k), key: (..., keys, d_k), value: (..., keys, d_v) -> (..., queries, d_v) (R40).

    mask: bool (queries, keys), True where a query may attend.
    """
    raise NotImplementedError


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
    """Causal attention (R41): x: (batch, sequence, d_model), projections: (d_model, d_model) -> the shape of x.

    With `theta` queries and keys are turned by RoPE at `token_positions` (sequence); without it there are no positions.
    """
    raise NotImplementedError


def transformer_block(x: Tensor, weights: dict[str, Tensor], num_heads: int, theta: float, max_seq_len: int) -> Tensor:
    """A pre-norm block with RoPE (R42): x: (batch, sequence, d_model) -> the same; eps of the norms is 1e-5.

    Weights: attn.{q,k,v,output}_proj.weight (d_model, d_model), ln1.weight, ln2.weight (d_model), ffn.w1.weight, ffn.w3.weight
    (d_ff, d_model), ffn.w2.weight (d_model, d_ff).
    """
    raise NotImplementedError


def transformer_lm(
    token_ids: Tensor, weights: dict[str, Tensor], num_layers: int, num_heads: int, theta: float, context_length: int
) -> Tensor:
    """token_ids: (batch, sequence <= context_length) int64 -> logits (batch, sequence, vocab_size) (R43).

    Weights: token_embeddings.weight, lm_head.weight (vocab_size, d_model), ln_final.weight (d_model), and those of block i behind
    `layers.{i}.`.
    """
    raise NotImplementedError


def build_transformer_lm(
    vocab_size: int, context_length: int, d_model: int, num_layers: int, num_heads: int, d_ff: int, rope_theta: float
) -> nn.Module:
    """Your model with new weights (R36, R37): token ids to logits, what is trained in `parameters()`, untied, no biases."""
    raise NotImplementedError


# Project 1.2: training


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """logits: (..., vocab_size), targets: (...) int64 -> the mean of -ln p(target), a scalar (R47)."""
    raise NotImplementedError


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    """Scale all gradients in place by max_norm / (norm + 1e-6) where their joint L2 norm exceeds max_norm (R52)."""
    raise NotImplementedError


def get_adamw() -> type[torch.optim.Optimizer]:
    """Your class, with the arguments (params, lr, betas, eps, weight_decay) (R50)."""
    raise NotImplementedError


def cosine_schedule(t: int, max_learning_rate: float, min_learning_rate: float, warmup_steps: int, decay_end: int) -> float:
    """The learning rate of step t, counted from 0 (R51)."""
    raise NotImplementedError


def get_batch(dataset: NDArray[np.integer], batch_size: int, context_length: int, device: str) -> tuple[Tensor, Tensor]:
    """Sequences from uniformly random places of an array (tokens), which may be memory-mapped, and the same one place on (R53).

    Two LongTensors (batch_size, context_length) on the device.
    """
    raise NotImplementedError


def save_checkpoint(
    model: nn.Module, optimizer: torch.optim.Optimizer, iteration: int, out: str | os.PathLike[str] | IO[bytes]
) -> None:
    """Write all that training needs to go on, to a path or an open binary file (R54)."""
    raise NotImplementedError


def load_checkpoint(
    src: str | os.PathLike[str] | IO[bytes], model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> int:
    """Restore what `save_checkpoint` wrote, in place; returns the iteration (R54)."""
    raise NotImplementedError


# Project 1.2: decoding


def next_token_probabilities(
    logits: Tensor, recent: Sequence[int], temperature: float, top_p: float, repetition_penalty: float
) -> Tensor:
    """logits: (vocab_size) -> the probabilities with which the next token is drawn, (vocab_size) (R60).

    First each token in `recent` is penalised once (a positive logit is divided by the penalty, a negative one multiplied), then
    the temperature divides (0 takes the most probable token), then top-p cuts. 1.0 switches top_p and the penalty off.
    """
    raise NotImplementedError


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
    """The ids that follow the prompt (R60), at most max_tokens, without the prompt and without end_of_text, which ends them.

    The model maps ids (1, length <= context_length) to logits (1, length, vocab_size); of longer texts it is given the last
    context_length ids.
    """
    raise NotImplementedError
