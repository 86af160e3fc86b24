"""A recurrent translator that aligns as it writes: Bahdanau et al. 2015, "Neural Machine Translation by Jointly Learning to Align
and Translate", section 3 and appendix A.

The encoder reads in both directions; annotation h_j is what both have seen around word j (section 3.2). The decoder's state s_i
comes from the last word, a context c_i and s_{i-1}, where c_i is the mean of the annotations under the attention of s_{i-1}
(section 3.1). A word is predicted from s_i, the word before and c_i through one layer of maxout (appendix A.2.2).
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from stages.lm.models.layers import Dropout, Embedding, Linear
from stages.lm.models.recurrent.gru import GRU
from stages.lm.models.seq2seq.interface import Seq2Seq, padding
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings


class AdditiveAttention(nn.Module):
    """e_ij = v . tanh(W s_{i-1} + U h_j), alpha_i = softmax(e_i), c_i = sum_j alpha_ij h_j (appendix A.1.2)."""

    def __init__(self, d_state: int, d_annotation: int, d_attention: int) -> None:
        super().__init__()
        self.w = Linear(d_state, d_attention)
        self.u = Linear(d_annotation, d_attention)
        self.v = Linear(d_attention, 1)

    def keys(self, annotations: Tensor) -> Tensor:
        """U h_j, which no decoder state changes: (batch, n, d_annotation) -> (batch, n, d_attention)."""
        return self.u(annotations)  # type: ignore[no-any-return]

    def forward(self, state: Tensor, keys: Tensor, annotations: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The context (batch, d_annotation) and the weights (batch, n), 0 where `hidden` (batch, n); state: (batch, d_state)."""
        scores = self.v(torch.tanh(self.w(state)[:, None] + keys)).squeeze(-1)  # (batch, n)
        weights = torch.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1)
        return (weights[:, None] @ annotations).squeeze(1), weights


@dataclass
class RnnSeq2SeqState:
    """What is read: annotations, their keys, what of them is padding. What is written: the decoder's state."""

    annotations: Tensor
    keys: Tensor
    padding: Tensor
    state: Tensor

    def reorder(self, rows: Tensor) -> None:
        self.annotations, self.keys = self.annotations.index_select(0, rows), self.keys.index_select(0, rows)
        self.padding, self.state = self.padding.index_select(0, rows), self.state.index_select(0, rows)


class RnnSeq2Seq(Seq2Seq):
    """A bidirectional GRU, additive attention, a GRU, and one table of word vectors for both languages."""

    def __init__(self, settings: RnnSeq2SeqSettings, vocab_size: int, is_fused: bool = True) -> None:
        """`is_fused`: the encoder runs in torch's kernels; the decoder is a loop in any case, as attention comes in between."""
        super().__init__()
        d = settings.d_model
        self.vocab_size, self.context_length = vocab_size, settings.context_length
        self.label_smoothing = settings.label_smoothing
        self.token_embeddings = Embedding(vocab_size, d)
        self.forwards, self.backwards = GRU(d, is_fused=is_fused), GRU(d, is_fused=is_fused)
        self.first_state = Linear(d, d)
        self.attention = AdditiveAttention(d, 2 * d, d)
        self.decoder = GRU(d, d_input=3 * d)
        self.readout = Linear(4 * d, 2 * d)
        self.lm_head = Linear(d, vocab_size)
        self.dropout = Dropout(settings.dropout)

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        return self._read_out(*self._teach(source, source_lengths, target)[:3])

    @torch.no_grad()
    def alignment(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """The attention's weights when each token after `target`'s is predicted: (batch, m, n)."""
        return self._teach(source, source_lengths, target)[3]

    @torch.no_grad()
    def start(self, source: Tensor, source_lengths: Tensor) -> RnnSeq2SeqState:
        return self._encode(source, source_lengths)

    @torch.no_grad()
    def advance(self, state: RnnSeq2SeqState, ids: Tensor) -> Tensor:
        word = self.token_embeddings(ids)
        context, _ = self._step(state, word)
        return torch.log_softmax(self._read_out(state.state, word, context), dim=-1)

    @classmethod
    def from_settings(cls, settings: RnnSeq2SeqSettings, vocab_size: int, is_fused: bool = True) -> Self:
        return cls(settings, vocab_size, is_fused)

    def _encode(self, source: Tensor, lengths: Tensor) -> RnnSeq2SeqState:
        words = self.dropout(self.token_embeddings(source))  # (batch, n, d)
        nothing = words.new_zeros(len(source), words.shape[-1])
        after, _ = self.forwards(words, (nothing,))
        before, _ = self.backwards(_turned(words, lengths), (nothing,))
        before = _turned(before, lengths)
        annotations = torch.cat((after, before), dim=-1)  # (batch, n, 2 d)
        first = torch.tanh(self.first_state(before[:, 0]))
        return RnnSeq2SeqState(annotations, self.attention.keys(annotations), padding(lengths, source.shape[1]), first)

    def _step(self, state: RnnSeq2SeqState, word: Tensor) -> tuple[Tensor, Tensor]:
        """Read the vectors of one more word (batch, d) into `state`; the context (batch, 2 d) and the weights (batch, n)."""
        context, weights = self.attention(state.state, state.keys, state.annotations, state.padding)
        (state.state,) = self.decoder.step(torch.cat((word, context), dim=-1), (state.state,))
        return context, weights

    def _teach(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States (batch, m, d), words (batch, m, d), contexts (batch, m, 2 d) and weights (batch, m, n) along a given target."""
        state = self._encode(source, source_lengths)
        words = self.dropout(self.token_embeddings(target))
        states, contexts, weights = [], [], []
        for word in words.unbind(1):
            context, attended = self._step(state, word)
            states.append(state.state)
            contexts.append(context)
            weights.append(attended)
        return torch.stack(states, 1), words, torch.stack(contexts, 1), torch.stack(weights, 1)

    def _read_out(self, state: Tensor, word: Tensor, context: Tensor) -> Tensor:
        """Logits: the larger of each two numbers that a linear layer makes of all three, then the output layer."""
        pairs = self.readout(torch.cat((state, word, context), dim=-1)).unflatten(-1, (-1, 2))  # (..., d, 2)
        return self.lm_head(self.dropout(pairs.amax(dim=-1)))  # type: ignore[no-any-return]


def _turned(x: Tensor, lengths: Tensor) -> Tensor:
    """Every sentence the other way round, its padding still at the end: (batch, n, d) -> the same."""
    position = torch.arange(x.shape[1], device=x.device)
    source = torch.where(position < lengths[:, None], lengths[:, None] - 1 - position, position)  # (batch, n)
    return x.gather(1, source[:, :, None].expand_as(x))
