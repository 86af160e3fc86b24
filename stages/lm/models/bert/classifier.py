"""A classifier on top of BERT, trained together with it: Devlin et al. 2019, section 4.1."""

from torch import Tensor, nn
from torch.nn import functional as F

from stages.lm.models.bert.model import BertLM
from stages.lm.models.layers import Dropout, Linear


class BertClassifier(nn.Module):
    """A linear layer over what the encoder makes of the first token, after one more layer with a tanh ("pooler")."""

    def __init__(self, encoder: BertLM, classes: int, dropout: float) -> None:
        super().__init__()
        d_model = encoder.token_embeddings.weight.shape[1]
        self.encoder = encoder
        self.pooler = Linear(d_model, d_model, bias=True)
        self.dropout = Dropout(dropout)
        self.output = Linear(d_model, classes, bias=True)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the classes: (batch, length) -> (batch, classes)."""
        first = self.encoder(ids)[:, 0]  # (batch, d_model)
        return self.output(self.dropout(self.pooler(first).tanh()))  # type: ignore[no-any-return]

    def total_loss(self, ids: Tensor, labels: Tensor) -> Tensor:
        """Sum of -ln p(label), in nats; labels: (batch)."""
        return F.cross_entropy(self(ids), labels, reduction="sum")
