"""BERT: Devlin et al. 2019, "Pre-training of Deep Bidirectional Transformers for Language Understanding", section 3.

An encoder of the blocks of the other transformers, with attention in both directions. It learns to predict hidden tokens
(section 3.1, task 1), and only these go through the output layer. Segment vectors and the prediction of the next sentence are
left out: Liu et al. 2019, "RoBERTa", section 4.2, do better without. The end-of-text token opens a text and separates texts, as
[CLS] and [SEP] do there; [MASK] has a row of its own in the table of token vectors, after those of the vocabulary.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lm.models.attention.pattern import Segments
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.block import TransformerBlock, build_final_norm, build_norm
from stages.lm.models.kernels import Kernels, fast
from stages.lm.models.layers import Dropout, Embedding, Linear
from stages.lm.models.network import Network
from stages.lm.models.positions import RotaryEmbedding, build_positions, positions_in_segments

IGNORED = -100
"""The target where nothing is predicted."""


def mask_id(vocab_size: int) -> int:
    """The id of [MASK]: the first one that no tokenizer of this vocabulary gives."""
    return vocab_size


class BertLM(Network):
    """The encoder and its output layer; its forward pass maps ids (batch, length) to features (batch, length, d_model)."""

    def __init__(self, settings: BertSettings, vocab_size: int, kernels: Kernels | None = None) -> None:
        super().__init__()
        kernels = kernels or fast(settings.kernel)
        d_model, heads, length = settings.d_model, settings.heads, settings.context_length
        self.vocab_size, self.context_length = vocab_size, length
        self.token_embeddings = Embedding(vocab_size + 1, d_model)
        self.positions = build_positions(settings.position, length, d_model)
        self.ln_embeddings = build_norm(d_model, settings, kernels)
        self.dropout = Dropout(settings.dropout)
        rope = RotaryEmbedding(settings.rope_theta, settings.head_width, length, kernels=kernels)
        self.layers = nn.ModuleList(
            TransformerBlock(
                d_model,
                heads,
                settings.feed_forward_width,
                rope if settings.position == "rope" else None,
                settings.of_layer(index),
                kernels,
                causal=False,
            )
            for index in range(settings.layers)
        )
        self.ln_final = build_final_norm(d_model, settings, kernels)
        self.transform = Linear(d_model, d_model, bias=True)
        self.activation = kernels.activation("gelu")
        self.ln_transform = build_norm(d_model, settings, kernels)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        for table in (self.token_embeddings, self.positions):
            if isinstance(table, Embedding):
                nn.init.trunc_normal_(table.weight, std=0.02, a=-0.04, b=0.04)  # as in BERT's own code

    def forward(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """(batch, length) -> (batch, length, d_model).

        `segments`, integers (batch, length): tokens see those of their own segment alone, so that documents that share a window,
        or a text and its padding, stay apart.
        """
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embeddings(ids)
        if self.positions is not None:
            x = x + self.positions(places if segments is None else positions_in_segments(segments))
        x = self.dropout(self.ln_embeddings(x))
        apart = Segments.of(segments)
        for layer in self.layers:
            x = layer(x, places, segments=apart)
        return self.ln_final(x)  # type: ignore[no-any-return]

    def logits(self, features: Tensor) -> Tensor:
        """(..., d_model) -> (..., vocab); the output layer shares its matrix with the token vectors."""
        x = self.ln_transform(self.activation(self.transform(features)))
        return x @ self.token_embeddings.weight[: self.vocab_size].T + self.output_bias  # type: ignore[no-any-return]

    def total_loss(self, ids: Tensor, targets: Tensor, segments: Tensor | None = None) -> Tensor:
        """Sum over the predicted tokens of -ln p(target | ids), in nats.

        ids: (batch, length), some of them hidden; targets: the same, IGNORED where nothing is predicted.
        """
        chosen = (targets.flatten() != IGNORED).nonzero().squeeze(1)  # (predictions)
        # Rows are taken like word vectors, so that their gradients are added up in a fixed order.
        features = F.embedding(chosen, self(ids, segments).flatten(0, 1))  # (predictions, d_model)
        return F.cross_entropy(self.logits(features), targets.flatten()[chosen], reduction="sum")

    @torch.no_grad()
    def log_probs_at(self, ids: Tensor, places: Tensor, segments: Tensor | None = None) -> Tensor:
        """ln p of every token at one place of each row: ids (batch, length), places (batch) -> (batch, vocab)."""
        features = self(ids, segments)[torch.arange(len(ids), device=ids.device), places]  # (batch, d_model)
        return torch.log_softmax(self.logits(features), dim=-1)
