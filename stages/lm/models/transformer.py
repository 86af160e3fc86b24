"""A decoder-only transformer: embedding, causal blocks, a final norm and a linear head that gives logits.

GPT (Radford et al. 2018) with, by default, the modules of Llama (Touvron et al. 2023): pre-norm RMSNorm, RoPE, SwiGLU, no biases.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lm.models.attention.caches import BlockCache, KVCache, WindowCache
from stages.lm.models.attention.pattern import Segments
from stages.lm.models.block import TransformerBlock, build_final_norm
from stages.lm.models.block_settings import BlockSettings, Position
from stages.lm.models.head_loss import HeadLoss
from stages.lm.models.kernels import REFERENCE, Kernels, fast
from stages.lm.models.layers import Dropout, Embedding, Linear
from stages.lm.models.network import Network
from stages.lm.models.positions import RotaryEmbedding, build_positions, positions_in_segments
from stages.lm.models.settings import TransformerSettings


@dataclass
class TransformerState:
    """What the model has read: the tokens that it still sees, and what each block keeps of them.

    Rows have all read equally many tokens, `length`, until they are set `apart`; then `lengths` counts by row.
    """

    ids: Tensor
    """(batch, context_length), of which `length` are filled; unused once rows are apart."""
    caches: list[BlockCache]
    length: int = 0
    lengths: Tensor | None = None
    """(batch)"""
    longest: int = 0
    """The greatest of `lengths`."""

    def put(self, rows: Tensor, other: "TransformerState") -> None:
        """These rows become those of `other`, which are not apart."""
        assert other.lengths is None
        lengths = self.apart()
        lengths[rows] = other.length
        self.longest = max(self.longest, other.length)
        for cache, new in zip(self.caches, other.caches, strict=True):
            cache.own.put(rows, new.own)  # type: ignore[arg-type]

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was: rows may be repeated or left out."""
        self.ids, self.lengths = self.ids[rows], None if self.lengths is None else self.lengths[rows]
        for cache in self.caches:
            cache.reorder(rows)

    def go_back(self, length: int) -> None:
        """Forget all but the first `length` tokens of each row; for a state that was started for it."""
        self.length = length
        if self.lengths is not None:
            self.lengths, self.longest = torch.full_like(self.lengths, length), length
        for cache in self.caches:
            assert isinstance(cache.own, KVCache)
            cache.own.length = length

    def apart(self) -> Tensor:
        """How many tokens each row has read, which from now on need not be as many as the others have: (batch)."""
        if self.lengths is None:
            self.lengths, self.longest = torch.full((len(self.ids),), self.length, device=self.ids.device), self.length
        return self.lengths

    def take(self, new: int) -> tuple[Tensor, int]:
        """The positions of so many more tokens of each row, which count as read: (batch, new), and a number above all of them.

        Nobody looks at a row any more that has no room for them: it takes the last place.
        """
        room, lengths = self.ids.shape[1], self.apart()
        positions = lengths[:, None] + torch.arange(new, device=lengths.device)
        self.lengths, self.longest = lengths + new, min(self.longest + new, room)
        return positions.clamp(max=room - 1), self.longest


class TransformerLM(Network):
    """The language model; its forward pass maps ids (batch, length) to logits (batch, length, vocab_size)."""

    def __init__(
        self,
        vocab_size: int,
        context_length: int,
        d_model: int,
        num_layers: int,
        num_heads: int,
        d_ff: int,
        rope_theta: float = 10000.0,
        position: Position = "rope",
        options: BlockSettings = BlockSettings(),  # noqa: B008, it is immutable
        tie_embeddings: bool = False,
        kernels: Kernels = REFERENCE,
    ) -> None:
        super().__init__()
        self.vocab_size, self.context_length = vocab_size, context_length
        d_head = options.d_head or d_model // num_heads
        rope = RotaryEmbedding(rope_theta, d_head, context_length, kernels=kernels) if position == "rope" else None
        self.token_embeddings = Embedding(vocab_size, d_model)
        self.positions = build_positions(position, context_length, d_model)
        self.dropout = Dropout(options.dropout)
        blocks = (options.of_layer(index) for index in range(num_layers))
        self.layers = nn.ModuleList(TransformerBlock(d_model, num_heads, d_ff, rope, block, kernels) for block in blocks)
        self.ln_final = build_final_norm(d_model, options, kernels)
        self.lm_head, self.head_loss = Linear(d_model, vocab_size), HeadLoss()
        self.embedding_scale = 1.0
        if tie_embeddings:
            self.token_embeddings.weight = self.lm_head.weight
            if self.positions is not None:  # the small numbers of an output layer must stand beside the positions' larger ones
                self.embedding_scale = d_model**0.5  # Vaswani et al. 2017, section 3.4

    def forward(self, ids: Tensor, documents: Tensor | None = None) -> Tensor:
        """Logits of the next token at every position; length <= context_length.

        documents: (batch, length), an integer for every token; tokens of different ones do not see each other.
        """
        return self.lm_head(self._features(ids, documents=documents))  # type: ignore[no-any-return]

    def total_loss(self, ids: Tensor, documents: Tensor | None = None) -> Tensor:
        """Sum over the predicted tokens of -ln p(ids[:, t + 1] | ids[:, : t + 1]), in nats.

        ids: (batch, length + 1); documents the same, as in `forward`.
        """
        features = self._features(ids[:, :-1], documents=documents if documents is None else documents[:, :-1])
        return self.head_loss(features, self.lm_head.weight, ids[:, 1:])  # type: ignore[no-any-return]

    @torch.no_grad()
    def token_log_probs(self, ids: Tensor) -> Tensor:
        """ln p(ids[:, t + 1] | ids[:, : t + 1]): (batch, length) -> (batch, length - 1); length <= context_length + 1."""
        logits = self(ids[:, :-1])
        return -F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")

    @property
    def keeps_all(self) -> bool:
        """Whether its caches can hold all keys and values apart, so that a state can go back."""
        return all(isinstance(layer.start(0, 1).own, KVCache | WindowCache) for layer in self.layers)  # type: ignore[operator]

    def start(self, batch: int, can_go_back: bool = False) -> TransformerState:
        """The state of `batch` texts; one that can go back keeps what a window no longer sees. Linear attention never can."""
        caches = [layer.start(batch, self.context_length, can_go_back) for layer in self.layers]  # type: ignore[operator]
        ids = torch.zeros(batch, self.context_length, dtype=torch.long, device=next(self.parameters()).device)
        return TransformerState(ids, caches)

    @torch.no_grad()
    def advance(self, state: TransformerState, ids: Tensor) -> Tensor:
        """ln p(next | the last context_length tokens read): (batch, vocab).

        While the context has room, only the new tokens are computed; once it is full, the window slides and all of it is. Rows
        that are apart do not slide: who fills one up goes on from another state.
        """
        if state.lengths is not None:
            positions, reach = state.take(ids.shape[1])
            return self.next_log_probs(ids, positions, state.caches, reach)
        return self._log_probs(self._read(state, ids)[:, -1])

    @torch.no_grad()
    def advance_each(self, state: TransformerState, ids: Tensor) -> Tensor:
        """ln p(next) after each of `ids` (batch, new), (batch, new, vocab): where there is room."""
        if state.lengths is not None:
            positions, reach = state.take(ids.shape[1])
            return self.each_log_probs(ids, positions, state.caches, reach)
        return self._log_probs(self._read(state, ids))

    def _read(self, state: TransformerState, ids: Tensor) -> Tensor:
        """Features of ids (batch, new), or of all that is still seen where the window slides: (batch, at least new, d_model)."""
        start, room = state.length, self.context_length - state.length
        if ids.shape[1] <= room:
            state.ids[:, start : start + ids.shape[1]] = ids
        else:
            ids = state.ids = torch.cat((state.ids[:, :start], ids), dim=1)[:, -self.context_length :]
            start = 0
            for cache in state.caches:
                cache.own.clear()
        state.length = start + ids.shape[1]
        return self._features(ids, state.caches, start)

    def next_log_probs(self, ids: Tensor, positions: Tensor, caches: list[BlockCache], reach: int) -> Tensor:
        """ln p(next) after the last of ids (batch, new) at `positions` (batch, new), all of them below `reach`: (batch, vocab).

        The caches hold what came before them, and change.
        """
        return self._log_probs(self._placed(ids, positions, caches, reach)[:, -1])

    def each_log_probs(self, ids: Tensor, positions: Tensor, caches: list[BlockCache], reach: int) -> Tensor:
        """As `next_log_probs`, after each of the ids: (batch, new, vocab)."""
        return self._log_probs(self._placed(ids, positions, caches, reach))

    def _placed(self, ids: Tensor, positions: Tensor, caches: list[BlockCache], reach: int) -> Tensor:
        """Features of tokens wherever they stand: (batch, new, d_model)."""
        x = self._embed(ids, positions)
        for layer, cache in zip(self.layers, caches, strict=True):
            x = layer(x, positions, cache, reach=reach)
        return self.ln_final(x)  # type: ignore[no-any-return]

    def _log_probs(self, features: Tensor) -> Tensor:
        """ln p of the next token, at least in float32: (batch, d_model) -> (batch, vocab)."""
        return torch.log_softmax(self.lm_head(features), dim=-1, dtype=torch.promote_types(features.dtype, torch.float32))

    @classmethod
    def from_settings(cls, settings: TransformerSettings, vocab_size: int) -> Self:
        return cls(
            vocab_size,
            settings.context_length,
            settings.d_model,
            settings.layers,
            settings.heads,
            settings.feed_forward_width,
            settings.rope_theta,
            settings.position,
            settings,
            settings.tie_embeddings,
            fast(settings.kernel),
        )

    def _features(
        self,
        ids: Tensor,
        caches: list[BlockCache] | None = None,
        start: int = 0,
        documents: Tensor | None = None,
    ) -> Tensor:
        """The final norm's output (batch, length, d_model), for tokens that follow the `start` ones in the caches."""
        positions = torch.arange(start, start + ids.shape[1], device=ids.device)
        x = self.dropout(self._embed(ids, positions if documents is None else positions_in_segments(documents)))
        segments = Segments.of(documents)
        for index, layer in enumerate(self.layers):
            x = layer(x, positions, caches[index] if caches else None, segments)
        return self.ln_final(x)  # type: ignore[no-any-return]

    def _embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        """(batch, length, d_model); positions: (length) or (batch, length)."""
        x = self.token_embeddings(ids)
        return x if self.positions is None else (x * self.embedding_scale + self.positions(positions)).to(x.dtype)  # type: ignore[no-any-return]
