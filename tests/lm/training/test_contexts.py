"""Contexts, subsampling and noise as word2vec has them, and vectors that show the structure of a toy language."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from stages.lm.accounting import vectors as accounting
from stages.lm.accounting.batches import random_batch
from stages.lm.errors import UserError
from stages.lm.models import registry
from stages.lm.models.settings import ModelSettings
from stages.lm.models.vectors.model import NOTHING, WordVectors
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.settings import parse
from stages.lm.tokens import TokenArray
from stages.lm.training.contexts import ContextData, keep_probability
from stages.lm.training.settings import TrainingSettings

END = 0
FAMILIES = pytest.mark.parametrize("family", ["skipgram", "cbow"])


def settings(family: str, **changes: object) -> VectorSettings:
    found: VectorSettings = parse(ModelSettings, {"family": family, "d_model": 8, **changes}, "model")
    return found


def array(documents: list[list[int]]) -> TokenArray:
    lengths = [len(document) + 1 for document in documents]
    ids = np.concatenate([[*document, END] for document in documents]).astype(np.uint16)
    return TokenArray(ids, np.cumsum([0, *lengths]), np.array(lengths))


def data(documents: list[list[int]], model: VectorSettings, vocab_size: int, **training: object) -> ContextData:
    tokens = array(documents)
    given = TrainingSettings.model_validate({"batch_size": 8, "validation_windows": 3, **training})
    return ContextData({"train": tokens, "valid": tokens}, vocab_size, END, model, given)


@FAMILIES
def test_contexts_keep_to_the_window_and_to_their_document(family: str) -> None:
    documents = [[10, 11, 12, 13, 14], [20], [30, 31, 32]]
    found = data(documents, settings(family, window=2, subsample=None), 40)
    reaches = set()
    for step in range(40):
        centres, contexts, noise = found.batch(step).tensors
        assert noise.shape == (8, 1 if family == "cbow" else 4, 5)
        assert {int(token) for token in noise.flatten()} <= {token for document in documents for token in document}
        for centre, context in zip(centres.tolist(), contexts.tolist(), strict=True):
            document = next(document for document in documents if centre in document)
            place = document.index(centre)
            around = [document[i] if 0 <= i < len(document) else NOTHING for i in (place - 2, place - 1, place + 1, place + 2)]
            near = [NOTHING, *around[1:3], NOTHING]
            assert context in (around, near)
            reaches.add(context == near)
    assert reaches == {True, False}


@FAMILIES
def test_every_place_is_a_centre_once_an_epoch(family: str) -> None:
    found = data([list(range(1, 25))], settings(family, subsample=None), 30)
    assert found.steps_per_epoch == 3
    for epoch in range(2):
        centres = torch.cat([found.batch(3 * epoch + step).tensors[0] for step in range(3)])
        assert sorted(centres.tolist()) == list(range(1, 25))
    again = data([list(range(1, 25))], settings(family, subsample=None), 30)
    assert all(torch.equal(a, b) for a, b in zip(found.batch(4).tensors, again.batch(4).tensors, strict=True))


def test_frequent_tokens_are_left_out_as_the_paper_says() -> None:
    """P(discard) = 1 - sqrt(t / f): worked by hand for counts 64, 32 and 4 of 100 and t = 0.04."""
    assert keep_probability(np.array([0, 64, 32, 4]), 0.04) == pytest.approx([0, 0.25, 8**-0.5, 1.0])
    documents = [[1] * 64 + [2] * 32 + [3] * 4] * 300
    found = data(documents, settings("cbow", subsample=0.04), 4)
    read = found.train.tokens.ids[found.train.places(5)]
    assert np.bincount(read, minlength=4) / 30000 == pytest.approx([0, 0.16, 0.32 * 8**-0.5, 0.04], abs=0.01)


def test_noise_follows_counts_to_the_power_of_three_quarters() -> None:
    found = data([[1] * 81 + [2] * 16 + [3]] * 4, settings("skipgram", window=5, negatives=20, subsample=None), 6)
    noise = torch.cat([found.batch(step).tensors[2].flatten() for step in range(20)])
    shares = np.bincount(noise.numpy(), minlength=6) / len(noise)
    assert shares == pytest.approx(np.array([0, 27, 8, 1, 0, 0]) / 36, abs=0.02)


def test_a_split_without_text_is_refused() -> None:
    with pytest.raises(UserError, match="the train split has no words"):
        data([[], []], settings("cbow"), 4)


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


@FAMILIES
def test_the_loss_by_hand(family: str) -> None:
    model = registry.build(settings(family, d_model=3, window=1, negatives=2), 7, seed=0)
    assert isinstance(model, WordVectors)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    inward, outward = (table.weight.detach().numpy() for table in (model.token_embeddings, model.output_embeddings))
    centres, contexts = torch.tensor([1, 2, 4]), torch.tensor([[3, 5], [NOTHING, 6], [NOTHING, NOTHING]])
    noise = torch.tensor([[[0, 2], [3, 3]], [[1, 1], [4, 5]], [[1, 1], [1, 1]]])
    expected = 0.0
    if family == "skipgram":
        for row, column in ((0, 0), (0, 1), (1, 1)):
            v = inward[centres[row]]
            expected -= np.log(sigmoid(outward[contexts[row, column]] @ v))
            expected -= sum(np.log(sigmoid(-outward[token] @ v)) for token in noise[row, column])
        found = model.total_loss(centres, contexts, noise)
    else:
        for row, v in ((0, (inward[3] + inward[5]) / 2), (1, inward[6])):
            expected -= np.log(sigmoid(outward[centres[row]] @ v))
            expected -= sum(np.log(sigmoid(-outward[token] @ v)) for token in noise[row, 0])
        found = model.total_loss(centres, contexts, noise[:, :1])
    assert found.item() == pytest.approx(expected, rel=1e-5)


@FAMILIES
def test_parameters_and_operations(family: str) -> None:
    described = settings(family, d_model=8, window=3, negatives=4)
    model: Any = registry.build(described, 30, seed=0)
    assert sum(accounting.parameters(described, 30).values()) == model.num_parameters()
    batch = random_batch(described, TrainingSettings(batch_size=6), 30)
    with FlopCounterMode(display=False) as counter:
        model.total_loss(*batch.tensors)
    assert counter.get_total_flops() == batch.predictions * accounting.forward_flops_per_token(described)["head"]


NAMES, PLACES, THINGS = range(1, 7), range(7, 13), range(13, 19)
WENT, TO, HAS, A, DOT = range(19, 24)


def sentences(count: int) -> list[list[int]]:
    """NAME went to PLACE. NAME has a THING."""
    chance = np.random.default_rng(0)
    draw = {kind: chance.choice(list(members), count) for kind, members in (("n", NAMES), ("p", PLACES), ("t", THINGS))}
    went = [[int(draw["n"][i]), WENT, TO, int(draw["p"][i]), DOT] for i in range(0, count, 2)]
    return [*went, *([int(draw["n"][i]), HAS, A, int(draw["t"][i]), DOT] for i in range(1, count, 2))]


@FAMILIES
def test_words_of_a_kind_come_to_lie_together(family: str) -> None:
    """The nearest neighbours of every name are names, those of every place places, those of every thing things."""
    found = data(sentences(400), settings(family, d_model=8, window=2, subsample=None), 24, batch_size=64)
    model: Any = registry.build(settings(family, d_model=8, window=2), 24, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for step in range(300):
        batch = found.batch(step)
        optimizer.zero_grad()
        (model.total_loss(*batch.tensors) / batch.predictions).backward()
        optimizer.step()
    vectors: Tensor = torch.nn.functional.normalize(model.token_embeddings.weight.detach()[1:19], dim=1)
    likeness = (vectors @ vectors.T).fill_diagonal_(-2)
    nearest = likeness.topk(5, dim=1).indices + 1
    pure = [len({int(token) for token in nearest[token - 1]} & set(kind)) for kind in (NAMES, PLACES, THINGS) for token in kind]
    assert pure == [5] * 18
