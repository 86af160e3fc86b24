"""Batches of sentence pairs: every pair once an epoch, alike in length, a function of (seed, step) alone."""

import numpy as np
import pytest
import torch

from stages.lm.errors import UserError
from stages.lm.tokens import PairArray, TokenArray
from stages.lm.training.pairs import POOL, PairData
from stages.lm.training.settings import TrainingSettings

END = 0


def side(lengths: list[int], first: int) -> TokenArray:
    """Sentences of so many ids, each of which tells its sentence, and the end-of-text id."""
    sentences = [[first + number] * length + [END] for number, length in enumerate(lengths)]
    offsets = np.cumsum([0, *map(len, sentences)])
    ids = np.array([index for sentence in sentences for index in sentence], dtype=np.uint16)
    return TokenArray(ids, offsets, np.array(lengths))


def pairs(count: int, seed: int = 0) -> PairArray:
    lengths = np.random.default_rng(seed).integers(1, 30, size=count)
    return PairArray(side(lengths.tolist(), 100), side((lengths + 2).tolist(), 10_000))


def data(count: int = 500, batch_size: int = 4, seed: int = 0, context_length: int = 64) -> PairData:
    training = TrainingSettings(batch_size=batch_size, seed=seed, validation_windows=10)
    return PairData({"train": pairs(count), "valid": pairs(30, 1)}, context_length, END, training)


def test_an_epoch_visits_every_pair_once() -> None:
    """768 pairs are three pools of 64 batches of 4: the order of the epochs differs, what they hold does not."""
    source = data(count=3 * POOL * 4)
    epochs = [np.concatenate([source.indices(step) for step in range(e * 192, (e + 1) * 192)]) for e in range(2)]
    assert all(sorted(epoch) == list(range(768)) for epoch in epochs)
    assert not np.array_equal(*epochs)


def test_epochs_meet_within_a_pool() -> None:
    """500 pairs are less than two pools: still each comes n times before any comes n + 1 times more often than another."""
    counts = np.bincount(np.concatenate([data().indices(step) for step in range(POOL * 25)]), minlength=500)
    assert POOL * 25 * 4 == 6400
    assert set(counts) <= {12, 13}  # 6400 / 500 = 12.8


def test_a_step_depends_on_seed_and_number_alone() -> None:
    one, two = data(), data()
    for step in (70, 3, 200):
        assert all(torch.equal(a, b) for a, b in zip(one.batch(step).tensors, two.batch(step).tensors, strict=True))
    assert not np.array_equal(one.indices(3), data(seed=1).indices(3))


def test_a_batch_holds_pairs_of_about_one_length() -> None:
    source = data(count=4000, batch_size=16)
    padding = words = 0
    for step in range(POOL):
        ids, lengths, _, _ = source.batch(step).tensors
        padding, words = padding + ids.numel(), words + int(lengths.sum())
    assert words > 0.95 * padding  # in batches of random pairs it is 0.54
    first = [int(source.batch(step).tensors[1].max()) for step in range(8)]
    assert first != sorted(first)


def test_what_a_batch_is_made_of() -> None:
    source = data()
    batch = source.batch(7)
    ids, lengths, target, target_lengths = batch.tensors
    for row, index in enumerate(source.indices(7)):
        length = int(np.diff(source.train.source.offsets)[index])
        assert ids[row].tolist() == [100 + index] * (length - 1) + [END] * (ids.shape[1] - length + 1)
        assert lengths[row] == length
        assert target[row].tolist() == [END] + [10_000 + index] * (length + 1) + [END] * (target.shape[1] - length - 2)
        assert target_lengths[row] == length + 3  # opened and ended
    assert batch.predictions == int((target_lengths - 1).sum())


def test_validation_is_spread_over_the_split() -> None:
    found = [batch.tensors[0][:, 0] for batch in data().validation()]
    assert [len(ids) for ids in found] == [4, 4, 2]
    assert {0, 29} <= {int(index) - 100 for index in torch.cat(found)}


def test_what_does_not_fit_is_refused() -> None:
    longest = int(np.diff(pairs(500).target.offsets).max())
    with pytest.raises(UserError, match=f"of the train split has {longest} tokens; set context_length to at least {longest},"):
        data(context_length=longest - 1)
    assert data(context_length=longest)
    with pytest.raises(UserError, match="the train split has no sentence pairs"):
        data(count=0)
