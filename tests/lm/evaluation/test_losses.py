"""Losses of whole documents, against models whose probabilities are known by hand."""

import copy
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from stages.lm.errors import UserError
from stages.lm.evaluation.losses import document_losses
from stages.lm.inference.loading import Trained

BOUNDARY = 0


class Tokens:
    """Documents in memory, with the part of TokenArray's interface that losses need."""

    def __init__(self, documents: list[list[int]]) -> None:
        self.documents = [np.array(document, dtype=np.uint16) for document in documents]
        self.offsets = np.cumsum([0, *map(len, documents)])

    def __len__(self) -> int:
        return len(self.documents)

    def document(self, i: int) -> Any:
        return self.documents[i]


def trained(model: Any) -> Trained:
    return Trained(model, BOUNDARY, torch.device("cpu"), "")


def uniform(vocab_size: int) -> Any:
    def token_log_probs(ids: torch.Tensor) -> torch.Tensor:
        return torch.full((len(ids), ids.shape[1] - 1), -math.log(vocab_size))

    return SimpleNamespace(vocab_size=vocab_size, context_length=None, token_log_probs=token_log_probs)


def bigram(table: torch.Tensor) -> Any:
    """ln p(next | last) is table[last, next]."""
    return SimpleNamespace(vocab_size=len(table), context_length=None, token_log_probs=lambda ids: table[ids[:, :-1], ids[:, 1:]])


def history_counter(context_length: int) -> Any:
    """A model whose loss for a token is the number of tokens that it sees before it."""

    def token_log_probs(ids: torch.Tensor) -> torch.Tensor:
        assert ids.shape[1] <= context_length + 1
        return -torch.arange(1.0, ids.shape[1]).repeat(len(ids), 1)

    return SimpleNamespace(vocab_size=4, context_length=context_length, token_log_probs=token_log_probs)


def test_a_uniform_model_pays_the_same_for_every_token_and_its_end() -> None:
    tokens = Tokens([[5, 6, BOUNDARY], [7, BOUNDARY]])
    assert document_losses(trained(uniform(16)), tokens) == pytest.approx([3 * math.log(16), 2 * math.log(16)])


def test_the_first_token_is_predicted_from_the_boundary_and_the_last_is_the_boundary() -> None:
    table = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25], [0.2, 0.7, 0.1]]).log()
    losses = document_losses(trained(bigram(table)), Tokens([[1, 2, BOUNDARY], [BOUNDARY], [2, BOUNDARY]]))
    by_hand = [-math.log(0.6 * 0.25 * 0.2), -math.log(0.1), -math.log(0.3 * 0.2)]
    assert losses == pytest.approx(by_hand, rel=1e-6)


def test_results_are_in_the_order_of_the_documents_whatever_the_batches() -> None:
    lengths = np.random.default_rng(0).integers(1, 30, size=50)
    tokens = Tokens([[1] * (length - 1) + [BOUNDARY] for length in lengths])
    for batch_tokens in (1, 64, 10_000):
        assert document_losses(trained(uniform(2)), tokens, batch_tokens) == pytest.approx(lengths * math.log(2))


def test_documents_longer_than_the_context_see_at_least_half_of_it() -> None:
    losses = document_losses(trained(history_counter(4)), Tokens([[1] * 8 + [BOUNDARY], [1, BOUNDARY]]))
    assert losses == pytest.approx([1 + 2 + 3 + 4 + 3 + 4 + 3 + 4 + 4, 1 + 2])


def test_a_split_without_documents_is_refused() -> None:
    with pytest.raises(UserError, match="no documents"):
        document_losses(trained(uniform(2)), Tokens([]))


@pytest.fixture(scope="module")
def transformer() -> Any:
    from stages.lm.models import registry
    from stages.lm.models.settings import TransformerSettings

    settings = TransformerSettings(family="transformer", layers=2, heads=2, d_model=32, context_length=24)
    return registry.build(settings, vocab_size=50, seed=0)


def test_a_transformers_losses_do_not_depend_on_the_batches_or_on_torchs_generator(transformer: Any) -> None:
    generator = np.random.default_rng(1)
    tokens = Tokens([[*generator.integers(1, 50, size=size).tolist(), BOUNDARY] for size in generator.integers(1, 90, size=40)])
    torch.manual_seed(1)
    before = torch.get_rng_state()
    alone = document_losses(trained(transformer), tokens, batch_tokens=1)
    together = document_losses(trained(transformer), tokens, batch_tokens=2000)
    assert together == pytest.approx(alone, rel=1e-6)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_short_documents_loss_is_cross_entropy_over_its_logits(transformer: Any) -> None:
    document = [3, 9, 9, 4, BOUNDARY]
    with torch.inference_mode():
        logits = transformer(torch.tensor([[BOUNDARY, *document[:-1]]]))
    expected = torch.nn.functional.cross_entropy(logits[0], torch.tensor(document), reduction="sum")
    assert document_losses(trained(transformer), Tokens([document])) == pytest.approx([float(expected)], rel=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_finds_the_losses_of_the_processor(transformer: Any) -> None:
    tokens = Tokens([[3, 9, 9, 4, BOUNDARY], [*range(1, 40), BOUNDARY]])
    expected = document_losses(trained(transformer), tokens)
    on_gpu = Trained(copy.deepcopy(transformer).to("cuda"), BOUNDARY, torch.device("cuda"), "")
    assert document_losses(on_gpu, tokens) == pytest.approx(expected, rel=1e-5)
