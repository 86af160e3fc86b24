"""The transformer as it was first published: Vaswani et al. 2017, "Attention Is All You Need", section 3.

Both stacks are made of the blocks of the language models, with the choices of the paper: norms after the additions, biases,
ReLU, and one table of word vectors for source, target and output, multiplied by sqrt(d_model) on its way in (section 3.4).
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from stages.lm.models.attention.caches import BlockCache, KVCache
from stages.lm.models.attention.pattern import Segments
from stages.lm.models.block import Memory, TransformerBlock
from stages.lm.models.block_settings import BlockSettings
from stages.lm.models.kernels import FAST, Kernels
from stages.lm.models.layers import Dropout, Embedding
from stages.lm.models.positions import SinusoidalPositions
from stages.lm.models.seq2seq.interface import Seq2Seq, padding
from stages.lm.models.seq2seq.settings import TransformerSeq2SeqSettings


@dataclass
class TransformerSeq2SeqState:
    """The encoder's output, what of it is padding, what each decoder block keeps, and how much has been written."""

    memory: Tensor
    padding: Tensor
    caches: list[BlockCache]
    length: int = 0

    def reorder(self, rows: Tensor) -> None:
        self.memory, self.padding = self.memory.index_select(0, rows), self.padding.index_select(0, rows)
        for cache in self.caches:
            cache.reorder(rows)


class TransformerSeq2Seq(Seq2Seq):
    """Encoder, decoder, and the table of word vectors."""

    def __init__(self, settings: TransformerSeq2SeqSettings, vocab_size: int, kernels: Kernels = FAST) -> None:
        super().__init__()
        self.vocab_size, self.context_length = vocab_size, settings.context_length
        self.label_smoothing = settings.label_smoothing
        d_model, heads, d_ff = settings.d_model, settings.heads, settings.feed_forward_width
        options = BlockSettings(norm="layer", norm_position="post", feed_forward="relu", bias=True, dropout=settings.dropout)

        def stack(causal: bool, cross_attention: bool) -> nn.ModuleList:
            return nn.ModuleList(
                TransformerBlock(d_model, heads, d_ff, None, options, kernels, causal=causal, cross_attention=cross_attention)
                for _ in range(settings.layers)
            )

        self.token_embeddings = Embedding(vocab_size, d_model)
        with torch.no_grad():  # as an output layer it starts with small logits, as an input it has unit variance
            self.token_embeddings.weight.mul_(d_model**-0.5)
        self.scale = d_model**0.5
        self.positions = SinusoidalPositions(settings.context_length, d_model)
        self.dropout = Dropout(settings.dropout)
        self.encoder = stack(causal=False, cross_attention=False)
        self.decoder = stack(causal=True, cross_attention=True)
        self.cache_shape = (heads, settings.context_length, d_model // heads)

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        hidden = padding(source_lengths, source.shape[1])
        return self._logits(self._decode(target, self._encode(source, hidden), hidden))

    @torch.no_grad()
    def start(self, source: Tensor, source_lengths: Tensor) -> TransformerSeq2SeqState:
        hidden = padding(source_lengths, source.shape[1])
        weight = self.token_embeddings.weight
        caches = [BlockCache(KVCache(len(source), *self.cache_shape, weight.device, weight.dtype)) for _ in self.decoder]
        return TransformerSeq2SeqState(self._encode(source, hidden), hidden, caches)

    @torch.no_grad()
    def advance(self, state: TransformerSeq2SeqState, ids: Tensor) -> Tensor:
        x = self._decode(ids[:, None], state.memory, state.padding, state.caches, state.length)  # (batch, 1, d_model)
        state.length += 1
        return torch.log_softmax(self._logits(x[:, 0]), dim=-1)

    @classmethod
    def from_settings(cls, settings: TransformerSeq2SeqSettings, vocab_size: int, kernels: Kernels = FAST) -> Self:
        return cls(settings, vocab_size, kernels)

    def _encode(self, source: Tensor, hidden: Tensor) -> Tensor:
        """(batch, n, d_model); words see all words of their sentence, and padding sees padding, which nobody reads."""
        x = self._embed(source)
        segments = Segments.of(hidden.long())
        for block in self.encoder:
            x = block(x, segments=segments)
        return x

    def _decode(
        self, target: Tensor, memory: Tensor, hidden: Tensor, caches: list[BlockCache] | None = None, start: int = 0
    ) -> Tensor:
        """(batch, m, d_model), for tokens that follow the `start` ones in the caches."""
        x = self._embed(target, start)
        read = Memory(memory, Segments(torch.zeros_like(target), hidden.long()))  # words of the source are segment 0
        for index, block in enumerate(self.decoder):
            x = block(x, cache=caches[index] if caches else None, memory=read)
        return x

    def _embed(self, ids: Tensor, start: int = 0) -> Tensor:
        positions = torch.arange(start, start + ids.shape[1], device=ids.device)
        return self.dropout(self.token_embeddings(ids) * self.scale + self.positions(positions))  # type: ignore[no-any-return]

    def _logits(self, x: Tensor) -> Tensor:
        return x @ self.token_embeddings.weight.T  # (..., vocab)
