"""Word vectors: Mikolov et al. 2013, "Efficient Estimation of Word Representations" (the two architectures) and "Distributed
Representations of Words and Phrases", section 2.2 (negative sampling).

A one-hot vector (a 1 at the token's id) times a matrix is a row of the matrix: the token's vector. Every token has two, one with
which it predicts and one with which it is predicted, and a prediction is a choice between the token that was there and some that
were drawn at random: -ln s(u . v) - sum over the noise of ln s(-u' . v), with s(x) = 1 / (1 + exp(-x)).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lm.models.layers import Embedding
from stages.lm.models.network import Network
from stages.lm.models.vectors.settings import VectorSettings

NOTHING = -1
"""In place of a token where a context has none."""


class WordVectors(Network):
    """The two tables of vectors: `token_embeddings`, which is what one wants, and `output_embeddings`."""

    def __init__(self, settings: VectorSettings, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size, self.context_length = vocab_size, settings.window
        self.token_embeddings = Embedding(vocab_size, settings.d_model)
        self.output_embeddings = Embedding(vocab_size, settings.d_model)
        nn.init.uniform_(self.token_embeddings.weight, -0.5 / settings.d_model, 0.5 / settings.d_model)  # as in word2vec
        nn.init.zeros_(self.output_embeddings.weight)

    def total_loss(self, centres: Tensor, contexts: Tensor, noise: Tensor) -> Tensor:
        """The sum of the losses of all predictions, in nats.

        centres: (batch); contexts: (batch, around), NOTHING where there is no token; noise: (batch, predictions, negatives).
        """
        raise NotImplementedError

    def _loss(self, vectors: Tensor, tokens: Tensor, noise: Tensor) -> Tensor:
        """Of each prediction: vectors (..., d_model), tokens (...), noise (..., negatives) -> (...)."""
        candidates = self.output_embeddings(torch.cat((tokens[..., None], noise), dim=-1))  # (..., 1 + negatives, d_model)
        scores = (candidates @ vectors[..., None]).squeeze(-1)  # (..., 1 + negatives)
        return -F.logsigmoid(scores[..., 0]) - F.logsigmoid(-scores[..., 1:]).sum(dim=-1)


class SkipGram(WordVectors):
    """A token predicts each token around it."""

    def total_loss(self, centres: Tensor, contexts: Tensor, noise: Tensor) -> Tensor:
        vectors = self.token_embeddings(centres)[:, None].expand(-1, contexts.shape[1], -1)  # (batch, around, d_model)
        losses = self._loss(vectors, contexts.clamp(min=0), noise)  # (batch, around)
        return torch.where(contexts == NOTHING, 0.0, losses).sum()


class Cbow(WordVectors):
    """The mean of the vectors around a token predicts it; a token without any is not predicted."""

    def total_loss(self, centres: Tensor, contexts: Tensor, noise: Tensor) -> Tensor:
        there = contexts != NOTHING  # (batch, around)
        around = self.token_embeddings(contexts.clamp(min=0)) * there[..., None]  # (batch, around, d_model)
        count = there.sum(dim=1)  # (batch)
        mean = around.sum(dim=1) / count.clamp(min=1)[:, None]  # (batch, d_model)
        losses = self._loss(mean, centres, noise.squeeze(1))  # (batch)
        return torch.where(count == 0, 0.0, losses).sum()
